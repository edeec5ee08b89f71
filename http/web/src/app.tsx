// The frame around the pages: which of first run, login and dashboard is due, and the navigation.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { api, ApiError, setSignedOutHandler } from "./api";
import { measureClock } from "./clock";
import { EventsPage } from "./events";
import { HealthPage } from "./health";
import { EventsIcon, HealthIcon, LiveIcon, LogoutIcon, PawIcon } from "./icons";
import { LivePage } from "./live";
import { LoginPage } from "./login";
import { SetupPage } from "./setup";

type Phase =
  | { name: "loading" }
  | { name: "unreachable" }
  | { name: "safe-mode"; text: string }
  | { name: "setup" }
  | { name: "login" }
  | { name: "in" };

export function useHashRoute(): string {
  const read = (): string => location.hash.replace(/^#\/?/, "").split("?")[0] ?? "";
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const onChange = (): void => setRoute(read());
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, []);
  return route === "" ? "live" : route;
}

async function findPhase(): Promise<Phase> {
  try {
    const { setup_needed } = await api.setupState();
    if (setup_needed) {
      return { name: "setup" };
    }
    await api.cameras();
    return { name: "in" };
  } catch (error) {
    if (error instanceof ApiError) {
      if (error.status === 401) {
        return { name: "login" };
      }
      if (error.status === 503) {
        return { name: "safe-mode", text: error.message.replace("petcam is in safe mode: ", "").trim() };
      }
    }
    return { name: "unreachable" };
  }
}

export function App() {
  const [phase, setPhase] = useState<Phase>({ name: "loading" });
  const check = useCallback(() => void findPhase().then(setPhase), []);

  useEffect(() => {
    setSignedOutHandler(() => setPhase({ name: "login" }));
    check();
  }, []);

  useEffect(() => {
    if (phase.name !== "unreachable" && phase.name !== "safe-mode") {
      return;
    }
    const timer = window.setTimeout(check, 2000);
    return () => window.clearTimeout(timer);
  }, [phase]);

  switch (phase.name) {
    case "loading":
      return <Curtain>Opening…</Curtain>;
    case "unreachable":
      return <Curtain>petcam does not answer. Trying again…</Curtain>;
    case "safe-mode":
      return (
        <Curtain>
          <h1>Safe mode</h1>
          <p>The settings have mistakes. Nothing is recorded until they are mended and petcam is started again.</p>
          <pre class="faults">{phase.text}</pre>
        </Curtain>
      );
    case "setup":
      return <SetupPage onDone={check} />;
    case "login":
      return <LoginPage onDone={check} />;
    case "in":
      return <Dashboard onLogout={() => setPhase({ name: "login" })} />;
  }
}

function Curtain({ children }: { children: ComponentChildren }) {
  return (
    <main class="curtain">
      <PawIcon />
      <div role="status">{children}</div>
    </main>
  );
}

const pages = [
  { route: "live", label: "Live", icon: LiveIcon, page: LivePage },
  { route: "events", label: "Events", icon: EventsIcon, page: EventsPage },
  { route: "health", label: "Health", icon: HealthIcon, page: HealthPage },
];

function Dashboard({ onLogout }: { onLogout: () => void }) {
  const route = useHashRoute();
  const current = pages.find((page) => page.route === route) ?? pages[0]!;
  useEffect(() => {
    document.title = `${current.label} · petcam`;
  }, [current]);
  useEffect(() => {
    measureClock().catch(() => undefined); // then this computer's clock is believed
  }, []);
  const logout = (): void => {
    void api.logout().catch(() => undefined).then(onLogout);
  };
  return (
    <div class="frame">
      <nav class="nav" aria-label="Pages">
        <a class="brand" href="#/live"><PawIcon /><span>petcam</span></a>
        {pages.map(({ route: to, label, icon: Icon }) => (
          <a key={to} href={`#/${to}`} aria-current={current.route === to ? "page" : undefined}>
            <Icon /><span>{label}</span>
          </a>
        ))}
        <button type="button" class="logout" onClick={logout}><LogoutIcon /><span>Log out</span></button>
      </nav>
      <main class="content"><current.page /></main>
    </div>
  );
}
