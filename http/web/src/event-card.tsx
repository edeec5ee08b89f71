// One event as a card: its picture, what and when, and the star that keeps it.
import { useState } from "preact/hooks";
import { api, type PetEvent } from "./api";
import { PawIcon, PlayIcon, StarIcon } from "./icons";
import { durationOf, eventTitle, timeOf } from "./words";

interface EventCardProps {
  event: PetEvent;
  onOpen: (event: PetEvent) => void;
  /** Where the card may be kept; undefined: no star. */
  onChange?: (event: PetEvent) => void;
}

export function EventCard({ event, onOpen, onChange }: EventCardProps) {
  const thumbnail = event.media?.thumbnail ?? null;
  return (
    <li class={`event ${event.duration === null ? "going-on" : ""}`}>
      <button type="button" class="event-open" onClick={() => onOpen(event)}>
        <span class="thumb">
          {thumbnail === null ? <PawIcon /> : <img src={thumbnail} alt="" loading="lazy" decoding="async" />}
          {event.media?.clip != null && <span class="play"><PlayIcon /></span>}
          {(event.duration === null || event.duration >= 1) && <span class="badge">{durationOf(event.duration)}</span>}
        </span>
        <span class="event-text">
          <b>{eventTitle(event)}</b>
          <span>{timeOf(event.timestamp)}</span>
        </span>
      </button>
      {onChange !== undefined && <KeepButton event={event} onChange={onChange} />}
    </li>
  );
}

export function KeepButton({ event, onChange }: { event: PetEvent; onChange: (event: PetEvent) => void }) {
  const [problem, setProblem] = useState("");
  const toggle = (): void => {
    api.keep(event.event_id, !event.keep).then(
      (changed) => {
        onChange(changed);
        setProblem("");
      },
      (error: Error) => setProblem(error.message),
    );
  };
  const words = event.keep ? "Kept: not deleted for age or room" : "Keep this clip";
  return (
    <button
      type="button" class={`star ${problem === "" ? "" : "failed"}`} aria-pressed={event.keep} aria-label="Keep this clip"
      title={problem === "" ? words : problem} onClick={toggle}
    >
      <StarIcon filled={event.keep} />
    </button>
  );
}
