// All events: filters, and the days with their cards.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, type Camera, type EventQuery, type PetEvent } from "./api";
import { ClipDialog } from "./clip-dialog";
import { EventCard } from "./event-card";
import { useEvents } from "./event-list";
import { PawIcon } from "./icons";
import { dayOf, filterKinds, kindNames } from "./words";

interface Filter {
  kind: string;
  camera: string;
  day: string; // "2026-11-22", local; "": any
}

function queryOf(filter: Filter): EventQuery {
  const query: EventQuery = { type: filter.kind, camera: filter.camera };
  if (filter.day !== "") {
    const start = new Date(`${filter.day}T00:00:00`);
    const end = new Date(start);
    end.setDate(end.getDate() + 1);
    query.after = start.toISOString();
    query.before = end.toISOString();
  }
  return query;
}

function fits(event: PetEvent, filter: Filter): boolean {
  const at = new Date(event.timestamp);
  const day = `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
  return (
    (filter.kind === "" || event.event_type === filter.kind) &&
    (filter.camera === "" || event.camera === filter.camera) &&
    (filter.day === "" || day === filter.day)
  );
}

export function EventsPage() {
  const [filter, setFilter] = useState<Filter>({ kind: "", camera: "", day: "" });
  const [cameras, setCameras] = useState<Camera[]>([]);
  useEffect(() => {
    api.cameras().then((page) => setCameras(page.items), () => undefined);
  }, []);
  const change = (part: Partial<Filter>): void => setFilter((old) => ({ ...old, ...part }));

  return (
    <div class="events-page">
      <header class="page-head">
        <h1>Events</h1>
        <div class="filters">
          <label>
            <span>What</span>
            <select value={filter.kind} onChange={(event) => change({ kind: event.currentTarget.value })}>
              <option value="">Everything</option>
              {filterKinds.map((kind) => <option key={kind} value={kind}>{kindNames[kind]}</option>)}
            </select>
          </label>
          {cameras.length > 1 && (
            <label>
              <span>Camera</span>
              <select value={filter.camera} onChange={(event) => change({ camera: event.currentTarget.value })}>
                <option value="">All</option>
                {cameras.map((camera) => <option key={camera.id} value={camera.id}>{camera.name}</option>)}
              </select>
            </label>
          )}
          <label>
            <span>Day</span>
            <input type="date" value={filter.day} onInput={(event) => change({ day: event.currentTarget.value })} />
          </label>
        </div>
      </header>
      <Events key={JSON.stringify(filter)} filter={filter} />
    </div>
  );
}

function Events({ filter }: { filter: Filter }) {
  const { events, problem, loading, more, loadMore, merge } = useEvents(
    queryOf(filter), (event) => fits(event, filter));
  const [openId, setOpenId] = useState<number>();
  const end = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (end.current === null || !more || problem !== "") {
      return; // after a failure the button asks again, not the scrolling
    }
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        loadMore();
      }
    }, { rootMargin: "400px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [more, loading, problem]);

  const days = useMemo(() => {
    const groups: { day: string; events: PetEvent[] }[] = [];
    for (const event of events ?? []) {
      const day = dayOf(event.timestamp);
      const last = groups[groups.length - 1];
      if (last?.day === day) {
        last.events.push(event);
      } else {
        groups.push({ day, events: [event] });
      }
    }
    return groups;
  }, [events]);

  const at = events?.findIndex((event) => event.event_id === openId) ?? -1;
  const open = events?.[at];
  const to = (event: PetEvent | undefined): (() => void) | undefined =>
    event === undefined ? undefined : () => setOpenId(event.event_id);

  return (
    <>
      {problem !== "" && <p class="error" role="alert">{problem}</p>}
      {events === undefined && problem === "" && <Placeholders />}
      {events?.length === 0 && (
        <div class="empty-page">
          <PawIcon />
          <p>
            {filter.kind === "" && filter.day === "" && filter.camera === ""
              ? "Nothing yet. Events come by themselves as soon as something moves."
              : "Nothing fits. Choose another day, or everything."}
          </p>
        </div>
      )}
      {days.map(({ day, events: list }) => (
        <section key={day}>
          <h2 class="day">{day}</h2>
          <ul class="event-grid">
            {list.map((event) => (
              <EventCard
                key={event.event_id} event={event} onOpen={(opened) => setOpenId(opened.event_id)}
                onChange={(changed) => merge([changed])}
              />
            ))}
          </ul>
        </section>
      ))}
      <div ref={end}>
        {more && (
          <button type="button" class="more" disabled={loading} onClick={loadMore}>
            {loading ? "Loading…" : "Earlier events"}
          </button>
        )}
      </div>
      {open !== undefined && (
        <ClipDialog
          event={open} onClose={() => setOpenId(undefined)} onChange={(changed) => merge([changed])}
          onNewer={to(events?.[at - 1])} onOlder={to(events?.[at + 1])}
        />
      )}
    </>
  );
}

function Placeholders() {
  return (
    <ul class="event-grid" role="status" aria-label="Loading">
      {[0, 1, 2, 3, 4, 5].map((each) => (
        <li key={each} class="event placeholder"><span class="thumb" /><span class="event-text" /></li>
      ))}
    </ul>
  );
}
