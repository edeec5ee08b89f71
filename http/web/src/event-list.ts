// The list of events as it is shown: newest first, each once, kept fresh by the event stream.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, followEvents, type EventQuery, type PetEvent } from "./api";

/** An event is told when it begins; its clip and its still are there a key frame later. */
const STILL_AFTER_MS = 2000;

export interface EventList {
  /** undefined: not loaded yet. */
  events: PetEvent[] | undefined;
  problem: string;
  loading: boolean;
  /** There are older ones. */
  more: boolean;
  loadMore(): void;
  merge(events: PetEvent[]): void;
}

function merged(old: PetEvent[], more: PetEvent[]): PetEvent[] {
  const byId = new Map(old.map((event) => [event.event_id, event]));
  for (const event of more) {
    byId.set(event.event_id, event);
  }
  return [...byId.values()].sort((a, b) => b.timestamp.localeCompare(a.timestamp) || b.event_id - a.event_id);
}

/** `query` and `fits` (the same question, for events that come later) are read once: give the
 * component another key for another query. */
export function useEvents(query: EventQuery, fits: (event: PetEvent) => boolean): EventList {
  const [events, setEvents] = useState<PetEvent[]>();
  const shown = useRef<PetEvent[] | undefined>(undefined);
  shown.current = events;
  const [cursor, setCursor] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const [loading, setLoading] = useState(false);
  const merge = (more: PetEvent[]): void => setEvents((old) => merged(old ?? [], more));

  useEffect(() => {
    const abort = new AbortController();
    const load = (): void => {
      api.events(query, abort.signal).then(
        (page) => {
          // A stream that was away for long leaves a gap below this page: begin anew then.
          const known = new Set(shown.current?.map((event) => event.event_id));
          if (page.items.some((event) => known.has(event.event_id))) {
            merge(page.items);
          } else {
            setEvents(page.items);
            setCursor(page.next_cursor);
          }
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
    let stillTimer = 0;
    const stop = followEvents((event) => {
      if (!fits(event)) {
        return;
      }
      merge([event]);
      if (event.media?.thumbnail == null) {
        window.clearTimeout(stillTimer);
        stillTimer = window.setTimeout(load, STILL_AFTER_MS);
      }
    }, load);
    return () => {
      window.clearTimeout(stillTimer);
      abort.abort();
      stop();
    };
  }, []);

  const loadMore = (): void => {
    if (cursor === null || loading) {
      return;
    }
    setLoading(true);
    api.events({ ...query, cursor }).then(
      (page) => {
        merge(page.items);
        setCursor(page.next_cursor);
        setProblem("");
        setLoading(false);
      },
      (error: Error) => {
        setProblem(error.message);
        setLoading(false);
      },
    );
  };
  return { events, problem, loading, more: cursor !== null, loadMore, merge };
}
