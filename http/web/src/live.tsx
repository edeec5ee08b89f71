// The live picture, and the last events under it.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Camera } from "./api";
import { ClipDialog } from "./clip-dialog";
import { EventCard } from "./event-card";
import { useEvents } from "./event-list";
import { CameraIcon, FullscreenIcon, PawIcon, PlayIcon } from "./icons";
import { useLivePlayer } from "./player";

const RECENT = 5;
const CAMERAS_EVERY_MS = 5000;

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
    const timer = window.setInterval(load, CAMERAS_EVERY_MS);
    return () => {
      abort.abort();
      window.clearInterval(timer);
    };
  }, []);

  if (cameras === undefined) {
    return (
      <div class="live-page">
        <div class="stage"><p class="stage-message" role="status">{problem === "" ? "Looking for the camera…" : problem}</p></div>
      </div>
    );
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
      <video
        ref={video} muted autoplay playsInline disableRemotePlayback aria-label={`${camera.name}, live`}
        data-player={status.kind} onDblClick={full}
      />
      <div class="stage-top">
        <span class={`pill ${playing ? "on" : ""}`}>
          <i class="dot" /> {playing ? "Live" : status.state === "stalled" ? "Waiting" : "Connecting"}
        </span>
        {status.delayMs !== undefined && (
          <span class="pill" title="From the camera to this screen">
            {status.delayMs < 1000 ? `${status.delayMs} ms` : `${(status.delayMs / 1000).toFixed(1)} s`}
          </span>
        )}
      </div>
      {status.state === "blocked"
        ? (
          <button type="button" class="stage-start" aria-label="Play" onClick={() => void video.current?.play()}>
            <PlayIcon />
          </button>
        )
        : !playing && <StageMessage camera={camera} why={status.why} />}
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

function StageMessage({ camera, why }: { camera: Camera; why: string }) {
  const trouble = camera.state !== "ok" && camera.state_text !== "" ? camera.state_text : why;
  return (
    <div class="stage-message" role="status">
      <PawIcon />
      <p>The picture is coming…</p>
      {trouble !== "" && <p class="why">{trouble}</p>}
    </div>
  );
}

/** The last events under the picture, as they come. */
function Recent() {
  const { events, merge, problem } = useEvents({}, () => true);
  const [openId, setOpenId] = useState<number>();
  const shown = events?.slice(0, RECENT);
  const at = events?.findIndex((event) => event.event_id === openId) ?? -1;
  const open = events?.[at];
  const newer = events?.[at - 1];
  const older = events?.[at + 1];
  return (
    <aside class="recent" aria-label="Last events">
      <header><h2>Last events</h2><a href="#/events">All events</a></header>
      {events === undefined && <p class="empty" role="status">{problem === "" ? "Loading…" : problem}</p>}
      {events?.length === 0 && <p class="empty">Nothing yet. When something moves, it stands here.</p>}
      <ul class="event-grid strip">
        {shown?.map((event) => (
          <EventCard key={event.event_id} event={event} onOpen={(opened) => setOpenId(opened.event_id)} />
        ))}
      </ul>
      {open !== undefined && (
        <ClipDialog
          event={open} onClose={() => setOpenId(undefined)} onChange={(changed) => merge([changed])}
          onNewer={newer && (() => setOpenId(newer.event_id))} onOlder={older && (() => setOpenId(older.event_id))}
        />
      )}
    </aside>
  );
}
