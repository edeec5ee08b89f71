// What things are called for people, and how times and sizes are written.
import type { EventKind, PetEvent } from "./api";

export const kindNames: Record<EventKind, string> = {
  motion: "Moving",
  passing: "Passing by",
  sleeping: "Sleeping",
  playing: "Playing",
  eating: "Eating",
  grooming: "Grooming",
  jumping: "Jumping",
  lying: "Lying down",
  interacting: "Together",
  vocalizing: "Calling",
  zone_enter: "At a place",
  zone_leave: "Left a place",
  abnormal: "Unusual",
  absence: "Not seen",
};

/** The kinds that this version finds. */
export const filterKinds: EventKind[] = ["motion", "zone_enter", "zone_leave", "absence"];

export function eventTitle(event: PetEvent): string {
  const who = event.pet?.name;
  const zone = event.zones[0];
  const kind = event.event_type;
  let what = kindNames[kind] ?? kind;
  if (zone !== undefined && (kind === "zone_enter" || kind === "zone_leave")) {
    what = `${kind === "zone_enter" ? "At" : "Left"} the ${zone}`;
  }
  return who === undefined ? what : `${who}: ${what.toLowerCase()}`;
}

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export function timeOf(iso: string): string {
  return timeFormat.format(new Date(iso));
}

export function dayOf(iso: string): string {
  const day = new Date(iso);
  const today = new Date();
  const yesterday = new Date();
  yesterday.setDate(today.getDate() - 1);
  if (day.toDateString() === today.toDateString()) {
    return "Today";
  }
  return day.toDateString() === yesterday.toDateString() ? "Yesterday" : dayFormat.format(day);
}

export function durationOf(seconds: number | null): string {
  if (seconds === null) {
    return "now";
  }
  if (seconds < 1) {
    return "a moment";
  }
  if (seconds < 60) {
    return `${Math.round(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function sizeOf(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
