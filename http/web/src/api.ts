// The daemon's API as this page uses it. The session is an HttpOnly cookie: no token
// is kept where a script could lose it.

export type EventKind =
  | "motion" | "passing" | "sleeping" | "playing" | "eating" | "grooming" | "jumping" | "lying"
  | "interacting" | "vocalizing" | "zone_enter" | "zone_leave" | "abnormal" | "absence";

export interface PetEvent {
  event_id: number;
  timestamp: string;
  duration: number | null;
  event_type: EventKind;
  camera: string | null;
  pet: { pet_id: number; name: string } | null;
  score: number;
  zones: string[];
  evidence: string;
  media: { clip: string | null; thumbnail: string | null; recording_id: number | null } | null;
  keep: boolean;
}

export type HealthState = "ok" | "degraded" | "failed";

export interface Camera {
  id: string;
  name: string;
  source: string;
  width: number | null;
  height: number | null;
  fps: number;
  state: HealthState;
  state_text: string;
  last_frame_ms_ago: number | null;
  live: { hls: string; ws: string; mp4: string; snapshot: string };
  stats: Record<string, number>;
}

export interface Health {
  status: HealthState;
  time?: string;
  parts?: { name: string; state: HealthState; text: string; since: string }[];
  storage?: {
    disk_bytes: number;
    free_bytes: number;
    recording_bytes: number;
    recordings: number;
    events: number;
  } | null;
}

export interface AlertRule {
  config_id: number;
  pet_id: number | null;
  no_event_threshold: number;
  quiet_hours: { from: string; to: string } | null;
  channels: string[];
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Recording {
  recording_id: number;
  timestamp: string;
  duration: number | null;
  open: boolean;
}

export interface SetupRequest {
  setup_code: string;
  username: string;
  password: string;
  consent: { video: boolean; audio: boolean };
  retention_days: number;
}

/** What the daemon refused, in its own words; status 0: it was not reached. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Called on a 401 of any call: the session is over. */
let onSignedOut: () => void = () => undefined;
export function setSignedOutHandler(handler: () => void): void {
  onSignedOut = handler;
}

async function problemOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { detail?: string; title?: string };
    return body.detail ?? body.title ?? response.statusText;
  } catch {
    return response.statusText || `status ${response.status}`;
  }
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted === true) {
      throw error;
    }
    throw new ApiError(0, "petcam does not answer.");
  }
  // /health answers 503 with its report when something has failed.
  if (!response.ok && !(path === "/health" && response.status === 503)) {
    const error = new ApiError(response.status, await problemOf(response));
    if (response.status === 401 && path !== "/session") {
      onSignedOut();
    }
    throw error;
  }
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export interface EventQuery {
  type?: string;
  camera?: string;
  after?: string;
  before?: string;
  cursor?: string;
}

export const api = {
  setupState: () => call<{ setup_needed: boolean }>("GET", "/setup"),
  setup: (request: SetupRequest) => call<unknown>("POST", "/setup", request),
  login: (username: string, password: string) => call<unknown>("POST", "/session", { username, password }),
  logout: () => call<unknown>("DELETE", "/session"),
  version: () => call<{ version: string; time: string }>("GET", "/version"),
  health: (signal?: AbortSignal) => call<Health>("GET", "/health", undefined, signal),
  cameras: (signal?: AbortSignal) => call<Page<Camera>>("GET", "/cameras", undefined, signal),
  events: (query: EventQuery, signal?: AbortSignal) => {
    const search = new URLSearchParams({ limit: "40" });
    for (const [name, value] of Object.entries(query) as [string, string | undefined][]) {
      if (value !== undefined && value !== "") {
        search.set(name, value);
      }
    }
    return call<Page<PetEvent>>("GET", `/events?${search.toString()}`, undefined, signal);
  },
  keep: (id: number, keep: boolean) => call<PetEvent>("PATCH", `/events/${id}`, { keep }),
  recording: (id: number, signal?: AbortSignal) => call<Recording>("GET", `/recordings/${id}`, undefined, signal),
  alertRules: () => call<Page<AlertRule>>("GET", "/alerts/config"),
  setAlertRule: (minutes: number) =>
    call<AlertRule>("POST", "/alerts/config", {
      pet_id: null,
      no_event_threshold: minutes,
      quiet_hours: null,
      channels: ["app"],
    }),
};

/** Live events by server-sent events, reconnecting by itself; the function ends it.
 * `onGap`: some may have been missed, read the list again. */
export function followEvents(onEvent: (event: PetEvent) => void, onGap: () => void): () => void {
  let source: EventSource | undefined;
  let timer = 0;
  let waitMs = 500;
  let opened = false;
  const open = (): void => {
    source = new EventSource("/events/stream");
    source.addEventListener("event", (message) => {
      onEvent(JSON.parse((message as MessageEvent<string>).data) as PetEvent);
    });
    source.addEventListener("missed", onGap);
    source.onopen = () => {
      waitMs = 500;
      if (opened) {
        onGap();
      }
      opened = true;
    };
    source.onerror = () => {
      // The browser gives up for good on a status that is no 200: then it is our turn.
      if (source?.readyState === EventSource.CLOSED) {
        source.close();
        timer = window.setTimeout(open, waitMs);
        waitMs = Math.min(waitMs * 2, 10_000);
      }
    };
  };
  open();
  return () => {
    window.clearTimeout(timer);
    source?.close();
  };
}
