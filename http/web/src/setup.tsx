// First run: the code, the owner, and what may be recorded.
import { useState } from "preact/hooks";
import { api } from "./api";
import { Field } from "./field";
import { PawIcon } from "./icons";

export function SetupPage({ onDone }: { onDone: () => void }) {
  const [code, setCode] = useState("");
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [video, setVideo] = useState(true);
  const [days, setDays] = useState("30");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  const mismatch = again !== "" && again !== password ? "The two passwords differ." : undefined;
  const short = password !== "" && password.length < 8 ? "At least 8 characters." : undefined;

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (mismatch !== undefined || short !== undefined) {
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      await api.setup({
        setup_code: code.trim(),
        username: username.trim(),
        password,
        consent: { video, audio: false },
        retention_days: Number(days),
      });
      await api.login(username.trim(), password);
      onDone();
    } catch (error) {
      setProblem((error as Error).message);
      setBusy(false);
    }
  };

  return (
    <main class="card-page">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <header><PawIcon /><h1>Welcome to petcam</h1></header>
        <p class="lead">This camera has no owner yet. Make it yours: it takes a minute.</p>
        <Field
          label="First-run code" value={code} onInput={setCode} autocomplete="one-time-code" autofocus
          hint="It was shown when petcam started, and is in its log."
        />
        <Field label="Your name" value={username} onInput={setUsername} autocomplete="username" />
        <Field
          label="Password" type="password" value={password} onInput={setPassword} error={short}
          hint="At least 8 characters." autocomplete="new-password"
        />
        <Field
          label="Password again" type="password" value={again} onInput={setAgain} error={mismatch}
          autocomplete="new-password"
        />
        <fieldset>
          <legend>What may petcam keep?</legend>
          <label class="check">
            <input type="checkbox" checked={video} onChange={(event) => setVideo(event.currentTarget.checked)} />
            <span>
              <b>Video of events</b>
              Short clips of what moves, kept on this device only. Everybody in the picture should know of it.
              Without it you can watch live, and nothing is recorded.
            </span>
          </label>
        </fieldset>
        <Field
          label="Keep recordings for (days)" type="number" value={days} onInput={setDays} min={0} max={3650}
          inputMode="numeric" hint="Older ones are deleted. 0: until the disk needs the room."
        />
        {problem !== "" && <p class="error" role="alert">{problem}</p>}
        <button type="submit" class="primary" disabled={busy}>{busy ? "Setting up…" : "Start"}</button>
      </form>
    </main>
  );
}
