// The live picture: instant view where the browser can, Low-Latency HLS otherwise.
import Hls from "hls.js/light";
import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import type { Camera } from "./api";
import { InstantPlayer, instantSupported } from "./instant";

export type PlayerKind = "instant" | "hls";
export interface LiveStatus {
  kind: PlayerKind;
  state: "connecting" | "playing" | "stalled";
  why: string;
  /** Seconds between the newest frame that has arrived and the one shown; undefined: not known. */
  lag: number | undefined;
}

/** "#/live?player=hls" asks for one player; else the best that runs. */
function wantedPlayer(): PlayerKind {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  return query.get("player") === "hls" || !instantSupported() ? "hls" : "instant";
}

export function useLivePlayer(camera: Camera, video: RefObject<HTMLVideoElement | null>): LiveStatus {
  const [kind, setKind] = useState<PlayerKind>(wantedPlayer);
  const [status, setStatus] = useState<LiveStatus>({ kind, state: "connecting", why: "", lag: undefined });
  const lag = useRef<() => number | undefined>(() => undefined);

  useEffect(() => {
    const element = video.current!;
    const say = (state: LiveStatus["state"], why = ""): void =>
      setStatus((old) =>
        old.kind === kind && old.state === state && old.why === why ? old : { ...old, kind, state, why },
      );
    return kind === "instant"
      ? playInstant(element, camera, say, () => setKind("hls"), lag)
      : playHls(element, camera, say, lag);
  }, [camera.id, kind]);

  useEffect(() => {
    const timer = window.setInterval(() => {
      setStatus((old) => ({ ...old, lag: old.state === "playing" ? lag.current() : undefined }));
    }, 1000);
    return () => window.clearInterval(timer);
  }, []);
  return status;
}

type Say = (state: LiveStatus["state"], why?: string) => void;

function playInstant(
  element: HTMLVideoElement, camera: Camera, say: Say, fallBack: () => void,
  lag: { current: () => number | undefined },
): () => void {
  const url = new URL(camera.live.ws, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const player = new InstantPlayer(element, url.href, {
    state(state, why) {
      if (state === "failed") {
        fallBack();
      } else {
        say(state, why);
      }
    },
  });
  lag.current = () => player.lag();
  return () => player.destroy();
}

function playHls(
  element: HTMLVideoElement, camera: Camera, say: Say, lag: { current: () => number | undefined },
): () => void {
  say("connecting");
  const onPlaying = (): void => say("playing");
  const onWaiting = (): void => say("stalled", "waiting for the picture");
  element.addEventListener("playing", onPlaying);
  element.addEventListener("waiting", onWaiting);
  const stopListening = (): void => {
    element.removeEventListener("playing", onPlaying);
    element.removeEventListener("waiting", onWaiting);
  };
  if (!Hls.isSupported()) {
    // Safari's own player, or nothing.
    element.src = camera.live.hls;
    lag.current = () => undefined;
    void element.play().catch(() => undefined);
    return () => {
      stopListening();
      element.removeAttribute("src");
      element.load();
    };
  }
  const hls = new Hls({
    lowLatencyMode: true,
    backBufferLength: 10,
    maxLiveSyncPlaybackRate: 1.5,
    manifestLoadingMaxRetry: 1000,
    manifestLoadingRetryDelay: 500,
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) {
      say("stalled", data.details);
      if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
        hls.recoverMediaError();
      } else {
        window.setTimeout(() => hls.loadSource(camera.live.hls), 1000);
      }
    }
  });
  hls.attachMedia(element);
  hls.loadSource(camera.live.hls);
  void element.play().catch(() => undefined);
  lag.current = () => (hls.latency > 0 ? hls.latency : undefined);
  return () => {
    stopListening();
    hls.destroy();
  };
}
