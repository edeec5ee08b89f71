// The light build has the same default export as the whole one.
declare module "hls.js/light" {
  export { default } from "hls.js";
}
