import { useEffect, useRef, useState } from "preact/hooks";
import { api, followEvents, type Camera, type PetEvent } from "./api";
import { EventRow } from "./event-row";
import { CameraIcon, FullscreenIcon } from "./icons";
import { useLivePlayer } from "./player";

const RECENT = 6;

export function LivePage() {
  const [cameras, setCameras] = useState<Camera[]>();
  const [chosen, setChosen] = useState(0);
  const [problem, setProblem] = useState("");

  useEffect(() => {
    const abort = new AbortController();
    const load = (): void => {
      api.cameras(abort.signal).then(
        (page) => {
          setCameras(page.items);
          setProblem("");
        },
        (error: Error) => {
          if (!abort.signal.aborted) {
            setProblem(error.message);
          }
        },
      );
    };
    load();
    const timer = window.setInterval(load, 10_000);
    return () => {
      abort.abort();
      window.clearInterval(timer);
    };
  }, []);

  if (cameras === undefined) {
    return <p class="empty" role="status">{problem === "" ? "Looking for the camera…" : problem}</p>;
  }
  const camera = cameras[chosen] ?? cameras[0];
  if (camera === undefined) {
    return <p class="empty">No camera is set.</p>;
  }
  return (
    <div class="live-page">
      <section class="stage-column" aria-label="Live picture">
        {cameras.length > 1 && (
          <div class="chips" role="tablist" aria-label="Cameras">
            {cameras.map((each, i) => (
              <button
                key={each.id} type="button" role="tab" aria-selected={each.id === camera.id}
                onClick={() => setChosen(i)}
              >
                {each.name}
              </button>
            ))}
          </div>
        )}
        <Stage key={camera.id} camera={camera} />
        {problem !== "" && <p class="error" role="alert">{problem}</p>}
      </section>
      <Recent />
    </div>
  );
}

function Stage({ camera }: { camera: Camera }) {
  const video = useRef<HTMLVideoElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const status = useLivePlayer(camera, video);
  const playing = status.state === "playing";

  const full = (): void => {
    if (document.fullscreenElement !== null) {
      void document.exitFullscreen();
    } else {
      void stage.current?.requestFullscreen().catch(() => undefined);
    }
  };
  const shape = camera.width !== null && camera.height !== null ? camera.width / camera.height : 16 / 9;
  useEffect(() => {
    stage.current?.style.setProperty("--shape", String(shape));
  }, [shape]);

  return (
    <div class="stage" ref={stage}>
      <video ref={video} muted autoplay playsInline disableRemotePlayback aria-label={`${camera.name}, live`} />
      <div class="stage-top">
        <span class={`pill ${playing ? "on" : ""}`}>
          <i class="dot" /> {playing ? "Live" : status.state === "connecting" ? "Connecting" : "Waiting"}
        </span>
        {playing && status.lag !== undefined && (
          <span class="pill" title="Between the newest frame that has arrived and the one shown">
            {Math.round(status.lag * 1000)} ms · {status.kind === "instant" ? "instant" : "HLS"}
          </span>
        )}
      </div>
      {!playing && (
        <p class="stage-message" role="status">
          {camera.state !== "ok" && camera.state_text !== ""
            ? camera.state_text
            : status.why === "" ? "The picture is coming…" : `The picture is coming… (${status.why})`}
        </p>
      )}
      <div class="stage-bottom">
        <span class="camera-name">{camera.name}</span>
        <a
          class="round" href={camera.live.snapshot} download={`petcam-${camera.id}.jpg`} title="Save a picture"
          aria-label="Save a picture"
        >
          <CameraIcon />
        </a>
        <button type="button" class="round" onClick={full} title="Full screen" aria-label="Full screen">
          <FullscreenIcon />
        </button>
      </div>
    </div>
  );
}

/** The last events beside the picture, as they come. */
function Recent() {
  const [events, setEvents] = useState<PetEvent[]>();
  useEffect(() => {
    const abort = new AbortController();
    const load = (): void => {
      api.events({}, abort.signal).then(
        (page) => setEvents(page.items.slice(0, RECENT)),
        () => undefined, // the picture's own message says that petcam does not answer
      );
    };
    const stop = followEvents(
      (event) =>
        setEvents((old) =>
          [event, ...(old ?? []).filter((each) => each.event_id !== event.event_id)]
            .sort((a, b) => b.event_id - a.event_id)
            .slice(0, RECENT),
        ),
      load,
    );
    load();
    return () => {
      abort.abort();
      stop();
    };
  }, []);
  return (
    <aside class="recent" aria-label="Last events">
      <header><h2>Last events</h2><a href="#/events">All</a></header>
      {events === undefined && <p class="empty" role="status">Loading…</p>}
      {events?.length === 0 && <p class="empty">Nothing yet. When something moves, it stands here.</p>}
      <ul class="event-list">
        {events?.map((event) => <EventRow key={event.event_id} event={event} compact />)}
      </ul>
    </aside>
  );
}
