// Low-Latency HLS by hls.js; a chunk of its own.
import Hls from "hls.js/light";

const RELOAD_MS = 1000;

/** Plays until destroyed, whatever happens; undefined: this browser has no Media Source Extensions. */
export function openHls(
  element: HTMLVideoElement, url: string, onStall: (why: string) => void,
): Hls | undefined {
  if (!Hls.isSupported()) {
    return undefined;
  }
  const hls = new Hls({
    lowLatencyMode: true,
    backBufferLength: 10,
    // Behind by more than the server's hold-back: play a little faster.
    maxLiveSyncPlaybackRate: 1.2,
    liveSyncOnStallIncrease: 0.1,
  });
  let timer = 0;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) {
      return;
    }
    onStall(data.type === Hls.ErrorTypes.NETWORK_ERROR ? "petcam does not answer" : "the picture does not decode");
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      hls.recoverMediaError();
      return;
    }
    window.clearTimeout(timer);
    timer = window.setTimeout(() => hls.loadSource(url), RELOAD_MS);
  });
  hls.on(Hls.Events.DESTROYING, () => window.clearTimeout(timer));
  hls.attachMedia(element);
  hls.loadSource(url);
  return hls;
}
