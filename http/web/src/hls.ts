// Low-Latency HLS by hls.js; a chunk of its own.
//
// hls.js picks where to start and stays there: what it drew is its latency from then on. Here the
// forward buffer is steered (slack.ts), so that it is what late parts need and no more.
import Hls from "hls.js/light";
import { setRate, SlackControl, type SlackOptions } from "./slack";

const RELOAD_MS = 1000;
const SLACK: SlackOptions = {
  minS: 0.5, maxS: 0.8, moreS: 0.1, fineS: 0.03, farS: 0.6, stepMs: 400,
};

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
    liveSyncOnStallIncrease: 0,
  });
  const slack = new SlackControl(SLACK);
  hls.on(Hls.Events.BUFFER_APPENDING, () => {
    const { buffered } = element;
    if (buffered.length > 0) {
      slack.sample(buffered.end(buffered.length - 1) - element.currentTime);
    }
  });
  const onWaiting = (): void => {
    if (!element.seeking) {
      slack.ranDry();
    }
  };
  element.addEventListener("waiting", onWaiting);
  const control = window.setInterval(() => setRate(element, slack.step()), SLACK.stepMs);

  let reload = 0;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) {
      return;
    }
    onStall(data.type === Hls.ErrorTypes.NETWORK_ERROR ? "petcam does not answer" : "the picture does not decode");
    slack.forget();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      hls.recoverMediaError();
      return;
    }
    window.clearTimeout(reload);
    reload = window.setTimeout(() => hls.loadSource(url), RELOAD_MS);
  });
  hls.on(Hls.Events.DESTROYING, () => {
    window.clearTimeout(reload);
    window.clearInterval(control);
    element.removeEventListener("waiting", onWaiting);
  });
  hls.attachMedia(element);
  hls.loadSource(url);
  return hls;
}
