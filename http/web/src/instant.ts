// Instant view: CMAF fragments over a WebSocket into Media Source Extensions.
//
// The daemon sends a text message before each init segment (binary), then one binary message a
// frame. Decode times are the daemon's own line, so a buffer starts wherever that stands now.
//
// The player stays a few hundredths of a second behind the newest frame (slack.ts). Only what cannot
// be made up for by speed (a gap, a hidden page) is jumped over.
import { daemonNowMs } from "./clock";
import { setRate, SlackControl, type SlackOptions } from "./slack";

/** What the daemon says before an init segment. */
interface EpochMessage {
  codec: string;
  epoch: number;
  /** Media time in seconds of the frame that follows, and when it was captured. */
  t: number;
  utc: string;
}

export type InstantState = "connecting" | "playing" | "stalled" | "blocked" | "failed";

export interface InstantEvents {
  /** Only changes; "failed": this browser cannot do it, use another player. */
  state(state: InstantState, why: string): void;
}

const SLACK: SlackOptions = {
  minS: 0.012, maxS: 0.12, moreS: 0.01, fineS: 0.006, farS: 0.04, stepMs: 200,
};
/** More slack than this is jumped over: it would take long to make up for. */
const JUMP_S = 1;
/** A frame must have arrived before it is shown; about its duration. */
const FRAME_S = 1 / 30;
/** Played video that is kept. */
const KEEP_S = 10;
/** Messages that may wait for the SourceBuffer; more means that it is stuck. */
const QUEUE_MAX = 300;
const RETRY_MIN_MS = 300;
const RETRY_MAX_MS = 3000;
/** A connection that gives no frame for so long is opened again. */
const SILENCE_MAX_MS = 4000;
/** A page hidden for so long lets its connection go. */
const HIDDEN_MAX_MS = 20_000;
/** Failures before the first picture after which another player is asked for. */
const FAILURES_MAX = 4;
const Source: typeof MediaSource | undefined =
  globalThis.MediaSource ??
  (globalThis as { ManagedMediaSource?: typeof MediaSource }).ManagedMediaSource;

export function instantSupported(): boolean {
  return Source !== undefined && typeof WebSocket !== "undefined";
}

export class InstantPlayer {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #events: InstantEvents;
  #socket: WebSocket | undefined;
  #media: MediaSource | undefined;
  #buffer: SourceBuffer | undefined;
  #objectUrl = "";
  #type = "";
  /** Fragments, and between them the type that what follows is of. */
  #queue: (ArrayBuffer | string)[] = [];
  /** Media time in seconds, and when that was captured. */
  #anchor: { t: number; utcMs: number } | undefined;
  #state: InstantState | undefined;
  #closed = false;
  #played = false;
  #starting = false;
  #failures = 0;
  #retryMs = RETRY_MIN_MS;
  #retryTimer = 0;
  #hiddenTimer = 0;
  #controlTimer = 0;
  #lastMessageMs = 0;
  readonly #slack = new SlackControl(SLACK);

  constructor(video: HTMLVideoElement, url: string, events: InstantEvents) {
    this.#video = video;
    this.#url = url;
    this.#events = events;
    document.addEventListener("visibilitychange", this.#onVisibility);
    video.addEventListener("playing", this.#onPlaying);
    video.addEventListener("waiting", this.#onWaiting);
    video.addEventListener("error", this.#onError);
    this.#controlTimer = window.setInterval(this.#control, SLACK.stepMs);
    this.#connect();
  }

  /** Ends everything; no event comes afterwards. */
  destroy(): void {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    this.#video.removeEventListener("playing", this.#onPlaying);
    this.#video.removeEventListener("waiting", this.#onWaiting);
    this.#video.removeEventListener("error", this.#onError);
    window.clearInterval(this.#controlTimer);
    window.clearTimeout(this.#retryTimer);
    window.clearTimeout(this.#hiddenTimer);
    this.#drop();
    this.#video.playbackRate = 1;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** When what is shown was captured, in ms of the daemon's clock; undefined: not known. */
  capturedMs(): number | undefined {
    return this.#state === "playing" ? this.#capturedAt(this.#video.currentTime) : undefined;
  }

  #capturedAt(t: number): number | undefined {
    return this.#anchor && this.#anchor.utcMs + (t - this.#anchor.t) * 1000;
  }

  /** A frame of media time `t` has just come. The anchor is one frame's word, and that one may have
   * been late; but none comes before it was captured. */
  #mendAnchor(t: number): void {
    const captured = this.#capturedAt(t);
    if (captured !== undefined && captured > daemonNowMs()) {
      this.#anchor!.utcMs -= captured - daemonNowMs();
    }
  }

  #say(state: InstantState, why = ""): void {
    if (!this.#closed && state !== this.#state) {
      this.#state = state;
      this.#events.state(state, why);
    }
  }

  #connect(): void {
    if (this.#state === undefined) {
      this.#say("connecting");
    }
    this.#lastMessageMs = performance.now();
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
      this.#lastMessageMs = performance.now();
      if (typeof event.data === "string") {
        this.#startEpoch(JSON.parse(event.data) as EpochMessage);
      } else {
        this.#push(event.data);
      }
    };
    socket.onclose = () => {
      this.#failures++;
      this.#retry("the connection was closed");
    };
    this.#socket = socket;
  }

  /** Forgets connection and buffers. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
    this.#buffer?.removeEventListener("updateend", this.#feed);
    this.#queue = [];
    this.#buffer = undefined;
    this.#media = undefined;
    this.#type = "";
    this.#anchor = undefined;
    if (this.#objectUrl !== "") {
      URL.revokeObjectURL(this.#objectUrl);
      this.#objectUrl = "";
    }
  }

  #retry(why: string): void {
    if (this.#closed) {
      return;
    }
    this.#drop();
    if (!this.#played && this.#failures >= FAILURES_MAX) {
      this.#say("failed", why);
      return;
    }
    this.#say("stalled", why);
    window.clearTimeout(this.#retryTimer);
    this.#retryTimer = window.setTimeout(() => this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #startEpoch(message: EpochMessage): void {
    const type = `video/mp4; codecs="${message.codec}"`;
    if (!Source!.isTypeSupported(type)) {
      this.#failures = FAILURES_MAX;
      this.#retry(`this browser does not play ${message.codec}`);
      return;
    }
    this.#anchor = { t: message.t, utcMs: Date.parse(message.utc) };
    this.#queue.push(type); // the init segment follows in the same buffer
    if (this.#media === undefined) {
      this.#open(type);
    }
  }

  #open(type: string): void {
    const media = new Source!();
    this.#media = media;
    this.#type = type;
    const onOpen = (): void => {
      if (media !== this.#media) {
        return;
      }
      this.#buffer = media.addSourceBuffer(type);
      this.#buffer.addEventListener("updateend", this.#feed);
      this.#feed();
    };
    media.addEventListener("sourceopen", onOpen, { once: true });
    this.#objectUrl = URL.createObjectURL(media);
    this.#video.src = this.#objectUrl;
  }

  #push(data: ArrayBuffer): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#retry("the browser's decoder does not keep up");
      return;
    }
    this.#queue.push(data);
    const end = this.#end();
    if (end !== undefined) {
      this.#mendAnchor(end);
      this.#slack.sample(end - this.#video.currentTime);
    }
    this.#feed();
  }

  /** Gives the SourceBuffer what waits: one append a pass, however many messages came. */
  readonly #feed = (): void => {
    const buffer = this.#buffer;
    if (buffer === undefined || buffer.updating || this.#media?.readyState !== "open") {
      return;
    }
    try {
      while (typeof this.#queue[0] === "string") {
        const type = this.#queue.shift() as string;
        if (type !== this.#type) {
          buffer.changeType(type);
          this.#type = type;
        }
      }
      const type = this.#queue.findIndex((each) => typeof each === "string");
      const parts = this.#queue.splice(0, type < 0 ? this.#queue.length : type) as ArrayBuffer[];
      if (parts.length > 0) {
        buffer.appendBuffer(join(parts));
      } else {
        this.#trim(buffer);
      }
    } catch (error) {
      this.#failures++;
      this.#retry(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#follow();
  };

  #trim(buffer: SourceBuffer): void {
    if (buffer.buffered.length > 0) {
      const start = buffer.buffered.start(0);
      const limit = this.#video.currentTime - KEEP_S;
      if (limit - start > KEEP_S) {
        buffer.remove(start, limit);
      }
    }
  }

  #end(): number | undefined {
    const buffered = this.#buffer?.buffered;
    return buffered === undefined || buffered.length === 0 ? undefined : buffered.end(buffered.length - 1);
  }

  /** Starts, and jumps where playing on does not lead. */
  #follow(): void {
    const end = this.#end();
    if (end === undefined || document.hidden) {
      return;
    }
    const video = this.#video;
    const buffered = this.#buffer!.buffered;
    const start = buffered.start(buffered.length - 1);
    const lag = end - video.currentTime;
    if (!video.seeking && (lag > JUMP_S || lag < -JUMP_S || video.currentTime < start)) {
      video.currentTime = Math.max(start, end - this.#slack.targetS - FRAME_S);
      this.#slack.forget();
    }
    if (video.paused && !this.#starting) {
      this.#starting = true;
      video.play().then(
        () => (this.#starting = false),
        (error: Error) => {
          this.#starting = false;
          if (error.name === "NotAllowedError") {
            this.#say("blocked");
          }
        },
      );
    }
  }

  readonly #control = (): void => {
    if (document.hidden) {
      return;
    }
    if (this.#socket !== undefined && performance.now() - this.#lastMessageMs > SILENCE_MAX_MS) {
      this.#retry("no picture arrives");
      return;
    }
    const rate = this.#slack.step();
    if (!this.#video.seeking) {
      setRate(this.#video, rate);
    }
  };

  readonly #onPlaying = (): void => {
    this.#played = true;
    this.#failures = 0;
    this.#retryMs = RETRY_MIN_MS;
    this.#say("playing");
  };

  readonly #onWaiting = (): void => {
    if (this.#state === "playing" && !this.#video.seeking) {
      this.#slack.ranDry();
    }
  };

  readonly #onError = (): void => {
    if (this.#media !== undefined) {
      this.#failures++;
      this.#retry(this.#video.error?.message ?? "the picture does not decode");
    }
  };

  readonly #onVisibility = (): void => {
    window.clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = window.setTimeout(() => {
        window.clearTimeout(this.#retryTimer);
        this.#drop();
      }, HIDDEN_MAX_MS);
      return;
    }
    this.#lastMessageMs = performance.now();
    this.#slack.forget();
    if (this.#socket === undefined) {
      window.clearTimeout(this.#retryTimer);
      this.#connect();
    } else {
      this.#follow();
    }
  };
}

function join(parts: ArrayBuffer[]): BufferSource {
  if (parts.length === 1) {
    return parts[0]!;
  }
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  return joined;
}
