// The live picture: instant view where the browser can, Low-Latency HLS otherwise.
import type Hls from "hls.js";
import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import type { Camera } from "./api";
import { daemonNowMs } from "./clock";
import { InstantPlayer, instantSupported } from "./instant";

export type PlayerKind = "instant" | "hls";
export interface LiveStatus {
  kind: PlayerKind;
  state: "connecting" | "playing" | "stalled" | "blocked";
  why: string;
  /** Milliseconds between the capture of what is shown and now; undefined: not known. */
  delayMs: number | undefined;
}

type Say = (state: LiveStatus["state"], why?: string) => void;

interface Player {
  /** When what is shown was captured, by the daemon's clock. */
  capturedMs(): number | undefined;
  destroy(): void;
}

/** "#/live?player=hls" asks for one player; else the best that runs. */
function wantedPlayer(): PlayerKind {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  return query.get("player") === "hls" || !instantSupported() ? "hls" : "instant";
}

export function useLivePlayer(camera: Camera, video: RefObject<HTMLVideoElement | null>): LiveStatus {
  const [kind, setKind] = useState<PlayerKind>(wantedPlayer);
  const [status, setStatus] = useState<LiveStatus>({ kind, state: "connecting", why: "", delayMs: undefined });
  const player = useRef<Player | undefined>(undefined);

  useEffect(() => {
    const element = video.current!;
    const say: Say = (state, why = "") => setStatus({ kind, state, why, delayMs: undefined });
    say("connecting");
    player.current =
      kind === "instant"
        ? playInstant(element, camera, say, () => setKind("hls"))
        : playHls(element, camera, say);
    return () => player.current?.destroy();
  }, [camera.id, kind]);

  useEffect(() => {
    const timer = window.setInterval(() => {
      const captured = player.current?.capturedMs();
      setStatus((old) => {
        const delayMs =
          old.state === "playing" && captured !== undefined
            ? Math.max(0, Math.round((daemonNowMs() - captured) / 10) * 10)
            : undefined;
        return old.delayMs === delayMs ? old : { ...old, delayMs };
      });
    }, 1000);
    return () => window.clearInterval(timer);
  }, []);
  return status;
}

function playInstant(element: HTMLVideoElement, camera: Camera, say: Say, fallBack: () => void): Player {
  const url = new URL(camera.live.ws, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new InstantPlayer(element, url.href, {
    state(state, why) {
      if (state === "failed") {
        fallBack();
      } else {
        say(state, why);
      }
    },
  });
}

/** hls.js is large and seldom needed: it is loaded when it is. */
function playHls(element: HTMLVideoElement, camera: Camera, say: Say): Player {
  let hls: Hls | undefined;
  let closed = false;
  const onPlaying = (): void => say("playing");
  element.addEventListener("playing", onPlaying);
  const play = (): void => {
    element.play().catch((error: Error) => {
      if (error.name === "NotAllowedError") {
        say("blocked");
      }
    });
  };
  import("./hls").then(
    ({ openHls }) => {
      if (closed) {
        return;
      }
      hls = openHls(element, camera.live.hls, (why) => say("stalled", why));
      if (hls === undefined) {
        element.src = camera.live.hls; // Safari's own player, or nothing
      }
      play();
    },
    () => say("stalled", "the player could not be loaded"),
  );
  return {
    capturedMs: () => hls?.playingDate?.getTime(),
    destroy() {
      closed = true;
      element.removeEventListener("playing", onPlaying);
      hls?.destroy();
      element.playbackRate = 1;
      element.removeAttribute("src");
      element.load();
    },
  };
}
