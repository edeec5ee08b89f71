// Instant view: CMAF fragments over a WebSocket into Media Source Extensions.
//
// The daemon sends a text message before each init segment (binary), then one
// binary message a frame. Decode times are the daemon's own line, so a buffer
// starts wherever that stands now; the player sits at its live edge and jumps when
// it has fallen behind, over a gap, or when the page was hidden.

/** What the daemon says before an init segment. */
interface EpochMessage {
  codec: string;
  epoch: number;
}

export type InstantState = "connecting" | "playing" | "stalled" | "failed";

export interface InstantEvents {
  state(state: InstantState, why?: string): void;
}

/** Further behind the newest frame than this: jump. */
const LAG_MAX_S = 0.25;
/** Where a jump lands, behind the newest frame. */
const LAG_TARGET_S = 0.05;
/** Played video that is kept. */
const KEEP_BEHIND_S = 10;
/** Messages that may wait for the SourceBuffer; more means that it is stuck. */
const QUEUE_MAX = 300;
const RETRY_MIN_MS = 300;
const RETRY_MAX_MS = 5000;
/** A connection that gives no frame for so long is opened again. */
const SILENCE_MAX_MS = 4000;
/** Fruitless tries after which the caller is told to use another player. */
const TRIES_MAX = 4;

export function instantSupported(): boolean {
  return typeof MediaSource !== "undefined" && typeof WebSocket !== "undefined";
}

export class InstantPlayer {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #events: InstantEvents;
  #socket: WebSocket | undefined;
  #media: MediaSource | undefined;
  #buffer: SourceBuffer | undefined;
  #objectUrl = "";
  #codec = "";
  #queue: ArrayBuffer[] = [];
  #closed = false;
  #tries = 0;
  #retryMs = RETRY_MIN_MS;
  #retryTimer = 0;
  #watchTimer = 0;
  #lastMessageMs = 0;

  constructor(video: HTMLVideoElement, url: string, events: InstantEvents) {
    this.#video = video;
    this.#url = url;
    this.#events = events;
    document.addEventListener("visibilitychange", this.#onVisibility);
    this.#watchTimer = window.setInterval(this.#watch, 500);
    this.#connect();
  }

  /** Ends everything; no event comes afterwards. */
  destroy(): void {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.clearInterval(this.#watchTimer);
    window.clearTimeout(this.#retryTimer);
    this.#drop();
  }

  /** Seconds between what is shown and the newest frame that has arrived. */
  lag(): number {
    const end = this.#end();
    return end === undefined ? 0 : Math.max(0, end - this.#video.currentTime);
  }

  #connect(): void {
    this.#events.state("connecting");
    this.#lastMessageMs = performance.now();
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
      if (socket !== this.#socket) {
        return;
      }
      this.#lastMessageMs = performance.now();
      if (typeof event.data === "string") {
        this.#startEpoch(JSON.parse(event.data) as EpochMessage);
      } else {
        this.#push(event.data);
      }
    };
    socket.onclose = () => {
      if (socket === this.#socket) {
        this.#retry("the connection was closed");
      }
    };
    this.#socket = socket;
  }

  /** Forgets connection and buffers; the video element shows its last frame until new ones come. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
    this.#queue = [];
    this.#buffer = undefined;
    this.#media = undefined;
    this.#codec = "";
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
    this.#tries++;
    if (this.#tries > TRIES_MAX) {
      this.#events.state("failed", why);
    } else {
      this.#events.state("stalled", why);
    }
    window.clearTimeout(this.#retryTimer);
    this.#retryTimer = window.setTimeout(() => this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #startEpoch(message: EpochMessage): void {
    const type = `video/mp4; codecs="${message.codec}"`;
    if (!MediaSource.isTypeSupported(type)) {
      this.#tries = TRIES_MAX;
      this.#retry(`this browser does not play ${message.codec}`);
      return;
    }
    if (this.#buffer !== undefined) {
      if (this.#codec !== type) {
        this.#buffer.changeType(type);
        this.#codec = type;
      }
      return; // the init segment follows in the same buffer
    }
    if (this.#media !== undefined) {
      this.#codec = type; // still opening
      return;
    }
    const media = new MediaSource();
    this.#media = media;
    this.#codec = type;
    media.addEventListener(
      "sourceopen",
      () => {
        if (media !== this.#media) {
          return;
        }
        this.#buffer = media.addSourceBuffer(this.#codec);
        this.#buffer.mode = "segments";
        this.#buffer.addEventListener("updateend", this.#feed);
        this.#feed();
      },
      { once: true },
    );
    this.#objectUrl = URL.createObjectURL(media);
    this.#video.src = this.#objectUrl;
  }

  #push(data: ArrayBuffer): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#retry("the browser's decoder does not keep up");
      return;
    }
    this.#queue.push(data);
    this.#feed();
  }

  /** Gives the SourceBuffer what waits, in one piece: one append a pass, however many came. */
  readonly #feed = (): void => {
    const buffer = this.#buffer;
    if (buffer === undefined || buffer.updating || this.#media?.readyState !== "open") {
      return;
    }
    try {
      if (this.#queue.length > 0) {
        const size = this.#queue.reduce((sum, part) => sum + part.byteLength, 0);
        const joined = new Uint8Array(size);
        let at = 0;
        for (const part of this.#queue) {
          joined.set(new Uint8Array(part), at);
          at += part.byteLength;
        }
        this.#queue = [];
        buffer.appendBuffer(joined);
      } else {
        this.#trim(buffer);
      }
    } catch (error) {
      this.#retry(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#follow();
  };

  #trim(buffer: SourceBuffer): void {
    if (buffer.buffered.length > 0) {
      const start = buffer.buffered.start(0);
      const limit = this.#video.currentTime - KEEP_BEHIND_S;
      if (limit - start > KEEP_BEHIND_S) {
        buffer.remove(start, limit);
      }
    }
  }

  #end(): number | undefined {
    const buffered = this.#buffer?.buffered;
    return buffered === undefined || buffered.length === 0
      ? undefined
      : buffered.end(buffered.length - 1);
  }

  /** Keeps the picture at the live edge. */
  #follow(): void {
    const end = this.#end();
    if (end === undefined || document.hidden) {
      return;
    }
    const video = this.#video;
    const lag = end - video.currentTime;
    if (lag > LAG_MAX_S || lag < 0) {
      const buffered = this.#buffer!.buffered;
      const start = buffered.start(buffered.length - 1);
      video.currentTime = Math.max(start, end - LAG_TARGET_S);
    }
    if (video.paused) {
      void video.play().catch(() => undefined); // a browser that wants a tap shows its own control
    }
    if (this.#retryMs !== RETRY_MIN_MS || this.#tries !== 0 || video.dataset["live"] !== "1") {
      this.#tries = 0;
      this.#retryMs = RETRY_MIN_MS;
      video.dataset["live"] = "1";
    }
    this.#events.state("playing");
  }

  readonly #watch = (): void => {
    if (
      this.#socket !== undefined &&
      !document.hidden &&
      performance.now() - this.#lastMessageMs > SILENCE_MAX_MS
    ) {
      this.#retry("no picture arrives");
    }
  };

  readonly #onVisibility = (): void => {
    if (document.hidden) {
      return;
    }
    this.#lastMessageMs = performance.now();
    this.#follow();
  };
}
