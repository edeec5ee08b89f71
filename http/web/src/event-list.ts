// The list of events as it is shown: newest first, each once, kept fresh by the event stream.
import { useEffect, useState } from "preact/hooks";
import { api, followEvents, type EventQuery, type PetEvent } from "./api";

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
          setEvents((old) => {
            const known = new Set(old?.map((event) => event.event_id));
            const joins = page.next_cursor === null || page.items.some((event) => known.has(event.event_id));
            if (old !== undefined && joins) {
              return merged(old, page.items);
            }
            setCursor(page.next_cursor);
            return page.items;
          });
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
      if (fits(event)) {
        merge([event]);
      }
    }, load);
    return () => {
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
