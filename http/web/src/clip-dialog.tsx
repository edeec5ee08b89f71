// An event opened: its clip, why it was thought so, and what can be done with it.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type PetEvent } from "./api";
import { KeepButton } from "./event-card";
import { BackIcon, CloseIcon, DownloadIcon, NextIcon } from "./icons";
import { dayOf, durationOf, eventTitle, timeOf } from "./words";

/** Shown before the event begins. */
const LEAD_S = 3;

interface ClipDialogProps {
  event: PetEvent;
  onClose: () => void;
  onChange?: ((event: PetEvent) => void) | undefined;
  /** To the neighbours in the list; undefined: there is none. */
  onNewer?: (() => void) | undefined;
  onOlder?: (() => void) | undefined;
}

export function ClipDialog({ event, onClose, onChange, onNewer, onOlder }: ClipDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const clip = event.media?.clip ?? null;
  return (
    <dialog
      ref={dialog} class="clip" aria-label={eventTitle(event)} onClose={onClose}
      onClick={(click) => {
        if (click.target === dialog.current) {
          dialog.current?.close(); // beside the panel
        }
      }}
    >
      <div class="clip-panel">
        <header>
          <div>
            <h2>{eventTitle(event)}</h2>
            <p>
              {dayOf(event.timestamp)}, {timeOf(event.timestamp)}
              {(event.duration === null || event.duration >= 1) && ` · ${durationOf(event.duration)}`}
            </p>
          </div>
          {onChange !== undefined && <KeepButton event={event} onChange={onChange} />}
          {clip !== null && (
            <a class="tool" href={clip} download={`petcam-${event.event_id}.mp4`} title="Save the clip" aria-label="Save the clip">
              <DownloadIcon />
            </a>
          )}
          <button type="button" class="tool" onClick={() => dialog.current?.close()} title="Close" aria-label="Close">
            <CloseIcon />
          </button>
        </header>
        {clip === null
          ? <p class="no-clip">There is no clip of this event.</p>
          : <Clip key={event.event_id} src={clip} event={event} />}
        <footer>
          <button type="button" class="tool" disabled={onNewer === undefined} onClick={onNewer} aria-label="Newer event" title="Newer">
            <BackIcon />
          </button>
          <p>{event.evidence === "" ? "" : `${event.evidence} (${Math.round(event.score * 100)} % sure)`}</p>
          <button type="button" class="tool" disabled={onOlder === undefined} onClick={onOlder} aria-label="Older event" title="Older">
            <NextIcon />
          </button>
        </footer>
      </div>
    </dialog>
  );
}

/** Seconds into the recording at which the event is; one recording may hold many. */
async function startOf(event: PetEvent, signal: AbortSignal): Promise<number> {
  const id = event.media?.recording_id ?? null;
  if (id === null) {
    return 0;
  }
  const recording = await api.recording(id, signal);
  const start = (Date.parse(event.timestamp) - Date.parse(recording.timestamp)) / 1000 - LEAD_S;
  return recording.open ? 0 : Math.max(0, start);
}

function Clip({ src, event }: { src: string; event: PetEvent }) {
  const video = useRef<HTMLVideoElement>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const element = video.current!;
    const abort = new AbortController();
    startOf(event, abort.signal).catch(() => 0).then((start) => {
      if (!abort.signal.aborted) {
        element.src = start > 0.5 ? `${src}#t=${start.toFixed(1)}` : src;
        void element.play().catch(() => undefined);
      }
    });
    return () => {
      // Or the browser goes on fetching what nobody sees.
      abort.abort();
      element.pause();
      element.removeAttribute("src");
      element.load();
    };
  }, []);
  return failed
    ? <p class="no-clip" role="alert">The clip does not play. It may have been deleted.</p>
    : (
      <video
        ref={video} controls muted playsInline preload="auto"
        onError={(fault) => setFailed(fault.currentTarget.hasAttribute("src"))}
      />
    );
}
