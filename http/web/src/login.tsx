import { useState } from "preact/hooks";
import { api, ApiError } from "./api";
import { Field } from "./field";
import { PawIcon } from "./icons";

export function LoginPage({ onDone }: { onDone: () => void }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await api.login(username, password);
      onDone();
    } catch (error) {
      setProblem(
        error instanceof ApiError && error.status === 401
          ? "Name or password is not right."
          : (error as Error).message,
      );
      setBusy(false);
    }
  };

  return (
    <main class="card-page">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <header><PawIcon /><h1>Log in to petcam</h1></header>
        <Field label="Name" value={username} onInput={setUsername} autocomplete="username" autofocus />
        <Field label="Password" type="password" value={password} onInput={setPassword} autocomplete="current-password" />
        {problem !== "" && <p class="error" role="alert">{problem}</p>}
        <button type="submit" class="primary" disabled={busy}>{busy ? "Checking…" : "Log in"}</button>
      </form>
    </main>
  );
}
