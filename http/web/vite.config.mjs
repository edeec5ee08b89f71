import { defineConfig } from "vite";

// The bundle is ours alone: no inline script or style, so that the daemon's
// Content-Security-Policy (default-src 'self') can stay strict.
export default defineConfig({
  base: "/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
