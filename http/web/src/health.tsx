// How petcam is: its parts, cameras and storage, and the alert rule.
import { useEffect, useState } from "preact/hooks";
import { api, type AlertRule, type Camera, type Health } from "./api";
import { sizeOf, timeOf } from "./words";

const stateWords = { ok: "Works", degraded: "Works, but not as it should", failed: "Does not work" };

/** "seeing cam0" is the daemon's name for it. */
function partName(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

export function HealthPage() {
  const [health, setHealth] = useState<Health>();
  const [cameras, setCameras] = useState<Camera[]>([]);
  const [problem, setProblem] = useState("");

  useEffect(() => {
    const abort = new AbortController();
    const load = (): void => {
      Promise.all([api.health(abort.signal), api.cameras(abort.signal)]).then(
        ([newHealth, page]) => {
          setHealth(newHealth);
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
    const timer = window.setInterval(load, 3000);
    return () => {
      abort.abort();
      window.clearInterval(timer);
    };
  }, []);

  return (
    <div class="health-page">
      <header class="page-head"><h1>Health</h1></header>
      {problem !== "" && <p class="error" role="alert">{problem}</p>}
      {health === undefined && problem === "" && <p class="empty" role="status">Loading…</p>}
      {health !== undefined && (
        <>
          <section class="panel">
            <h2>Parts</h2>
            <ul class="parts">
              {health.parts?.map((part) => (
                <li key={part.name}>
                  <i class={`light ${part.state}`} />
                  <b>{partName(part.name)}</b>
                  <span>
                    {part.text === "" ? stateWords[part.state] : part.text}
                    {part.state !== "ok" && ` (since ${timeOf(part.since)})`}
                  </span>
                </li>
              ))}
            </ul>
          </section>
          {cameras.map((camera) => <CameraPanel key={camera.id} camera={camera} />)}
          {health.storage != null && <StoragePanel storage={health.storage} />}
          <AlertPanel />
        </>
      )}
    </div>
  );
}

function CameraPanel({ camera }: { camera: Camera }) {
  const s = camera.stats;
  const drops =
    (s["frames_skipped_source"] ?? 0) + (s["frames_dropped_encoder"] ?? 0) + (s["frames_dropped_mux"] ?? 0);
  const figures: [string, string][] = [
    ["Picture", camera.width === null ? "none yet" : `${camera.width} × ${camera.height}`],
    ["Frames a second", (s["fps"] ?? 0).toFixed(1)],
    ["Last frame", camera.last_frame_ms_ago === null ? "none yet" : `${camera.last_frame_ms_ago} ms ago`],
    ["Encoding", `${(s["encode_ms"] ?? 0).toFixed(1)} ms`],
    ["Seeing", `${(s["infer_ms"] ?? 0).toFixed(1)} ms`],
    ["Frames dropped", `${drops} of ${s["frames_captured"] ?? 0}`],
  ];
  return (
    <section class="panel">
      <h2>{camera.name}</h2>
      <dl class="figures">
        {figures.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
    </section>
  );
}

function StoragePanel({ storage }: { storage: NonNullable<Health["storage"]> }) {
  const used = storage.disk_bytes - storage.free_bytes;
  return (
    <section class="panel">
      <h2>Storage</h2>
      <meter
        min={0} max={storage.disk_bytes} high={storage.disk_bytes * 0.8} value={used}
        aria-label="Disk used"
      />
      <dl class="figures">
        <div><dt>Disk used</dt><dd>{sizeOf(used)} of {sizeOf(storage.disk_bytes)}</dd></div>
        <div><dt>Recordings</dt><dd>{storage.recordings} ({sizeOf(storage.recording_bytes)})</dd></div>
        <div><dt>Events</dt><dd>{storage.events}</dd></div>
      </dl>
    </section>
  );
}

const thresholds = [
  { minutes: 60, label: "an hour" },
  { minutes: 180, label: "3 hours" },
  { minutes: 360, label: "6 hours" },
  { minutes: 720, label: "12 hours" },
  { minutes: 1440, label: "a day" },
];

function AlertPanel() {
  const [rule, setRule] = useState<AlertRule | null>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    api.alertRules().then(
      (page) => setRule(page.items.find((each) => each.pet_id === null) ?? null),
      (error: Error) => setProblem(error.message),
    );
  }, []);
  const change = async (minutes: number): Promise<void> => {
    try {
      setRule(await api.setAlertRule(minutes));
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const minutes = rule?.no_event_threshold ?? 720;
  return (
    <section class="panel">
      <h2>Alert</h2>
      <label class="inline">
        <span>Tell me when nobody was seen for</span>
        <select
          value={String(minutes)} disabled={rule === undefined}
          onChange={(event) => void change(Number(event.currentTarget.value))}
        >
          {!thresholds.some((each) => each.minutes === minutes) && <option value={minutes}>{minutes} minutes</option>}
          {thresholds.map((each) => <option key={each.minutes} value={each.minutes}>{each.label}</option>)}
        </select>
      </label>
      {problem !== "" && <p class="error" role="alert">{problem}</p>}
    </section>
  );
}
