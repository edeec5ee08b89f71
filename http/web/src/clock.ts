// The daemon's clock as seen from here: how old a picture is must not depend on this computer's clock.
import { api } from "./api";

const SAMPLES = 3;
let offsetMs = 0;

export function daemonNowMs(): number {
  return Date.now() + offsetMs;
}

/** Asks a few times and believes the quickest answer. */
export async function measureClock(): Promise<void> {
  let quickest = Infinity;
  for (let i = 0; i < SAMPLES; i++) {
    const askedMs = performance.now();
    const { time } = await api.version();
    const tookMs = performance.now() - askedMs;
    if (tookMs < quickest) {
      quickest = tookMs;
      offsetMs = Date.parse(time) - (Date.now() - tookMs / 2);
    }
  }
}
