// Writes FILE.gz beside each text file of the bundle: the daemon serves it as it is.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const text = new Set([".html", ".js", ".css", ".svg", ".json", ".webmanifest", ".txt"]);

/** @param {string} folder @returns {Generator<string>} */
function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      yield* files(path);
    } else {
      yield path;
    }
  }
}

let plain = 0;
let packed = 0;
for (const path of files("dist")) {
  if (!text.has(extname(path))) {
    continue;
  }
  const data = readFileSync(path);
  const gz = gzipSync(data, { level: constants.Z_BEST_COMPRESSION });
  writeFileSync(`${path}.gz`, gz);
  plain += data.length;
  packed += gz.length;
}
console.log(`dashboard: ${Math.ceil(plain / 1024)} KB, ${Math.ceil(packed / 1024)} KB gzip`);
