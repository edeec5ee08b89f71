// One event: thumbnail, what and when; opened, its clip and why it was thought so.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type PetEvent } from "./api";
import { PawIcon, PlayIcon, StarIcon } from "./icons";
import { durationOf, eventTitle, timeOf } from "./words";

interface EventRowProps {
  event: PetEvent;
  compact?: boolean;
  onChange?: (event: PetEvent) => void;
}

export function EventRow({ event, compact = false, onChange }: EventRowProps) {
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState("");
  const clip = event.media?.clip ?? null;

  const keep = async (): Promise<void> => {
    try {
      onChange?.(await api.keep(event.event_id, !event.keep));
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
  };

  return (
    <li class={`event ${event.duration === null ? "going-on" : ""}`}>
      <button type="button" class="event-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="thumb">
          {event.media?.thumbnail == null
            ? <PawIcon />
            : <img src={event.media.thumbnail} alt="" loading="lazy" width="96" height="54" />}
          {clip !== null && <span class="play"><PlayIcon /></span>}
        </span>
        <span class="event-text">
          <b>{eventTitle(event)}</b>
          <span>
            {timeOf(event.timestamp)} · {durationOf(event.duration)}
            {!compact && event.camera !== null && ` · ${event.camera}`}
          </span>
        </span>
      </button>
      {onChange !== undefined && (
        <button
          type="button" class="star" aria-pressed={event.keep} onClick={() => void keep()}
          title={event.keep ? "Kept: not deleted for age or room" : "Keep this clip"}
          aria-label={event.keep ? "Kept. Do not keep" : "Keep this clip"}
        >
          <StarIcon filled={event.keep} />
        </button>
      )}
      {open && (
        <div class="event-body">
          {clip === null
            ? <p class="empty">There is no clip of this event.</p>
            : <Clip key={`${event.event_id}-${event.duration === null}`} src={clip} />}
          {event.evidence !== "" && <p class="evidence">{event.evidence} <span>({Math.round(event.score * 100)} % sure)</span></p>}
        </div>
      )}
      {problem !== "" && <p class="error" role="alert">{problem}</p>}
    </li>
  );
}

function Clip({ src }: { src: string }) {
  const video = useRef<HTMLVideoElement>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    void video.current?.play().catch(() => undefined);
  }, []);
  return failed
    ? <p class="error" role="alert">The clip does not play. It may have been deleted.</p>
    : <video ref={video} src={src} controls muted playsInline preload="metadata" onError={() => setFailed(true)} />;
}
