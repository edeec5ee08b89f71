// Line icons, 24 x 24, drawn for petcam.
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg
      class="icon" viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor"
      stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const LiveIcon = () => (
  <Icon>
    <rect x="3" y="6" width="13" height="12" rx="3" />
    <path d="M16 10.5 21 8v8l-5-2.5" />
  </Icon>
);

export const EventsIcon = () => (
  <Icon>
    <path d="M8 6h12M8 12h12M8 18h12" />
    <path d="M4 6h.01M4 12h.01M4 18h.01" stroke-width="2.6" />
  </Icon>
);

export const HealthIcon = () => (
  <Icon>
    <path d="M3 12h4l2.5-6 4 12 2.5-6h5" />
  </Icon>
);

export const LogoutIcon = () => (
  <Icon>
    <path d="M14 4H7a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h7M10.5 12H21M17.5 8.5 21 12l-3.5 3.5" />
  </Icon>
);

export const StarIcon = ({ filled }: { filled: boolean }) => (
  <Icon>
    <path
      d="m12 3.8 2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z"
      fill={filled ? "currentColor" : "none"}
    />
  </Icon>
);

export const PlayIcon = () => (
  <Icon>
    <path d="M8 5.5v13l11-6.5z" fill="currentColor" />
  </Icon>
);

export const FullscreenIcon = () => (
  <Icon>
    <path d="M4 9V5a1 1 0 0 1 1-1h4M15 4h4a1 1 0 0 1 1 1v4M20 15v4a1 1 0 0 1-1 1h-4M9 20H5a1 1 0 0 1-1-1v-4" />
  </Icon>
);

export const CameraIcon = () => (
  <Icon>
    <path d="M4 8.5A1.5 1.5 0 0 1 5.5 7H8l1.5-2.5h5L16 7h2.5A1.5 1.5 0 0 1 20 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5z" />
    <circle cx="12" cy="13" r="3.4" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);

export const DownloadIcon = () => (
  <Icon>
    <path d="M12 4v11M7.5 11 12 15.5 16.5 11M5 19.5h14" />
  </Icon>
);

export const BackIcon = () => (
  <Icon>
    <path d="m14.5 6-6 6 6 6" />
  </Icon>
);

export const NextIcon = () => (
  <Icon>
    <path d="m9.5 6 6 6-6 6" />
  </Icon>
);

export const PawIcon = () => (
  <svg class="paw" viewBox="0 0 32 32" width="32" height="32" fill="currentColor" aria-hidden="true">
    <ellipse cx="16" cy="21" rx="6.2" ry="5" />
    <ellipse cx="7.6" cy="15.4" rx="2.4" ry="3.1" transform="rotate(-18 7.6 15.4)" />
    <ellipse cx="12.7" cy="10.4" rx="2.5" ry="3.4" transform="rotate(-6 12.7 10.4)" />
    <ellipse cx="19.3" cy="10.4" rx="2.5" ry="3.4" transform="rotate(6 19.3 10.4)" />
    <ellipse cx="24.4" cy="15.4" rx="2.4" ry="3.1" transform="rotate(18 24.4 15.4)" />
  </svg>
);
