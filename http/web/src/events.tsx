import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, followEvents, type Camera, type EventQuery, type PetEvent } from "./api";
import { EventRow } from "./event-row";
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
      <EventList key={JSON.stringify(filter)} filter={filter} />
    </div>
  );
}

function EventList({ filter }: { filter: Filter }) {
  const [events, setEvents] = useState<PetEvent[]>();
  const [cursor, setCursor] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const [loading, setLoading] = useState(false);
  const end = useRef<HTMLDivElement>(null);

  const merge = (more: PetEvent[]): void =>
    setEvents((old) => {
      const byId = new Map((old ?? []).map((event) => [event.event_id, event]));
      for (const event of more) {
        byId.set(event.event_id, event);
      }
      return [...byId.values()].sort(
        (a, b) => b.timestamp.localeCompare(a.timestamp) || b.event_id - a.event_id,
      );
    });

  useEffect(() => {
    const abort = new AbortController();
    const load = (): void => {
      api.events(queryOf(filter), abort.signal).then(
        (page) => {
          merge(page.items);
          setCursor((old) => old ?? page.next_cursor);
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
    const stop = followEvents((event) => {
      if (fits(event, filter)) {
        merge([event]);
      }
    }, load);
    return () => {
      abort.abort();
      stop();
    };
  }, []);

  const loadMore = async (): Promise<void> => {
    if (cursor === null || loading) {
      return;
    }
    setLoading(true);
    try {
      const page = await api.events({ ...queryOf(filter), cursor });
      merge(page.items);
      setCursor(page.next_cursor);
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
    setLoading(false);
  };

  useEffect(() => {
    if (end.current === null || cursor === null) {
      return;
    }
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        void loadMore();
      }
    }, { rootMargin: "400px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [cursor, loading]);

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

  return (
    <>
      {problem !== "" && <p class="error" role="alert">{problem}</p>}
      {events === undefined && problem === "" && <p class="empty" role="status">Loading…</p>}
      {events?.length === 0 && (
        <p class="empty">Nothing here. Events come by themselves as soon as something moves.</p>
      )}
      {days.map(({ day, events: list }) => (
        <section key={day}>
          <h2 class="day">{day}</h2>
          <ul class="event-list wide">
            {list.map((event) => (
              <EventRow key={event.event_id} event={event} onChange={(changed) => merge([changed])} />
            ))}
          </ul>
        </section>
      ))}
      <div ref={end}>
        {cursor !== null && (
          <button type="button" class="more" disabled={loading} onClick={() => void loadMore()}>
            {loading ? "Loading…" : "Earlier events"}
          </button>
        )}
      </div>
    </>
  );
}
