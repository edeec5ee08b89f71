// How far behind the newest frame the picture stands, and how fast to play to change that.
//
// The slack is what is left to show when more arrives. Too little and what comes late is a stutter,
// too much and it is not live. The least slack of the last steps is steered to a target by playing a
// little faster or slower; the target grows when the picture ran dry and shrinks again with time.

export interface SlackOptions {
  /** The target's range, seconds. */
  minS: number;
  maxS: number;
  /** Added to the target when the picture ran dry. */
  moreS: number;
  /** Nearer to the target than this: normal speed. Further above it than that: make haste. */
  fineS: number;
  farS: number;
  /** Between two calls of step(). */
  stepMs: number;
}

/** The target comes back to its least within a few of these. */
const FORGET_MS = 15_000;
const STEPS = 5;
/** Haste does not wait for all of them. */
const STEPS_FAR = 2;
/** The least falls at once and rises only when the steps before have gone: playing faster may be bold,
 * playing slower may not. */
const GAIN_SLOWER = 0.5;
const GAIN_FASTER = 1.5;
const GAIN_FAR = 3;
const RATE_LOW = 0.95;
const RATE_HIGH = 1.1;
const RATE_FAR = 1.6;

export class SlackControl {
  readonly #options: SlackOptions;
  #target: number;
  /** The least slack of each step, the running one last. */
  #least: number[] = [Infinity];

  constructor(options: SlackOptions) {
    this.#options = options;
    this.#target = options.minS;
  }

  get targetS(): number {
    return this.#target;
  }

  /** What is left to show now that more has arrived. */
  sample(slackS: number): void {
    const last = this.#least.length - 1;
    this.#least[last] = Math.min(this.#least[last]!, slackS);
  }

  ranDry(): void {
    this.#target = Math.min(this.#options.maxS, this.#target + this.#options.moreS);
  }

  /** After a jump nothing is known. */
  forget(): void {
    this.#least = [Infinity];
  }

  /** The speed to play at until the next step. */
  step(): number {
    const { minS, fineS, farS, stepMs } = this.#options;
    const least = Math.min(...this.#least);
    const lately = Math.min(...this.#least.slice(-STEPS_FAR));
    this.#least.push(Infinity);
    if (this.#least.length > STEPS) {
      this.#least.shift();
    }
    this.#target -= ((this.#target - minS) * stepMs) / FORGET_MS;
    if (least === Infinity) {
      return 1; // nothing came: nothing is known
    }
    let rate = 1;
    if (lately !== Infinity && lately - this.#target > farS) {
      rate = Math.min(RATE_FAR, 1 + GAIN_FAR * (lately - this.#target));
    } else if (Math.abs(least - this.#target) > fineS) {
      const gain = least > this.#target ? GAIN_FASTER : GAIN_SLOWER;
      rate = Math.min(RATE_HIGH, Math.max(RATE_LOW, 1 + gain * (least - this.#target)));
    }
    return Math.round(rate * 100) / 100;
  }
}

/** Sets it only where it changes: browsers do work for each setting. */
export function setRate(video: HTMLVideoElement, rate: number): void {
  if (video.playbackRate !== rate) {
    video.playbackRate = rate;
  }
}
