// Looks at a report in a browser: make report-test runs it.
//
//     node check.mjs MODULES PAGE PICTURES
//
// MODULES is the folder in which npm installed puppeteer-core and axe-core. At two widths, in dark and
// in light, the page must have no violation of its policy, no finding of axe and no part that is wider
// than the window; the keyboard must reach its tables, and its filter must work. PICTURES gets a
// picture of each look, and the page as it prints.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [modules, page, pictures] = process.argv.slice(2).map((p) => resolve(p));
const require = createRequire(join(modules, "package.json"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(pictures, { recursive: true });

let problems = 0;
function problem(where, text) {
  problems++;
  console.log(`${where}: ${text}`);
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"], // the only page is our own
  protocolTimeout: 600_000,
});

async function look(width, scheme) {
  const where = `${width} ${scheme}`;
  const tab = await browser.newPage();
  tab.on("console", (m) => problem(where, `console: ${m.text()}`));
  tab.on("pageerror", (e) => problem(where, `script: ${e.message}`));
  tab.on("request", (r) => {
    if (!r.url().startsWith("file://" + page)) problem(where, `request: ${r.url()}`);
  });
  await tab.setViewport({ width, height: 900 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.goto("file://" + page);

  const wide = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) problem(where, `the page is ${wide} pixels wider than the window`);

  await tab.evaluate(axe);
  await tab.screenshot({ path: join(pictures, `${width}-${scheme}.png`) });
  const matrix = await tab.$("#matrix");
  if (matrix) {
    await matrix.evaluate((e) => e.scrollIntoView());
    await tab.screenshot({ path: join(pictures, `${width}-${scheme}-functions.png`) });
    await tab.evaluate(() => scrollTo(0, 0));
  }
  await keyboard(tab, where);
  await filter(tab, where);

  // All rows are made in the same way, and axe would look for minutes at thousands of them.
  await tab.$$eval("#functions tbody tr:nth-child(n+30)", (all) => all.forEach((e) => e.remove()));
  const found = await tab.evaluate(() => axe.run());
  for (const v of found.violations) {
    problem(where, `axe: ${v.id}: ${v.help}: ${v.nodes.length} times: ${v.nodes[0].html}`);
  }
  console.log(`${where}: axe: ${found.passes.length} rules passed`);
  await tab.close();
}

// keyboard presses Tab until nothing new has the focus.
async function keyboard(tab, where) {
  const reached = new Set();
  for (let i = 0; i < 3000; i++) {
    await tab.keyboard.press("Tab");
    const at = await tab.evaluate(() => {
      const e = document.activeElement;
      if (e === document.body) return "";
      return e.id || e.getAttribute("aria-label") || e.className || e.tagName;
    });
    if (i === 0 && at !== "skip") problem(where, `the first thing with the focus is ${at}`);
    if (at === "") break;
    reached.add(at);
  }
  const regions = await tab.$$eval("[role=region]", (all) => all
    .filter((e) => e.checkVisibility()).map((e) => e.getAttribute("aria-label")));
  for (const r of regions) {
    if (!reached.has(r)) problem(where, `the keyboard does not reach ${r}`);
  }
}

// filter types a whole alias, and wants fewer rows, all of one function.
async function filter(tab, where) {
  if (!(await tab.$("#filter"))) return;
  const alias = await tab.evaluate(() => {
    const th = document.querySelector("#functions tbody th");
    return th.textContent.trim().replace(/[^A-Za-z0-9]+/g, "_") + "_7";
  });
  await tab.type("#text", alias);
  const shown = await tab.$$eval("#functions tbody tr:not([hidden])", (all) => all.length);
  const all = await tab.$$eval("#functions tbody tr", (all) => all.length);
  const said = (await tab.$eval("#shown", (e) => e.textContent)).replaceAll(",", "");
  if (shown < 1 || (all > 10 && shown > all / 2) || !said.startsWith(`${shown} of ${all} `)) {
    problem(where, `filter ${alias}: ${shown} rows of ${all}, "${said}"`);
  }
  await tab.$eval("#text", (e) => { e.value = ""; });
  await tab.select("#which", "differ");
  const same = await tab.$$eval("#functions tbody tr:not([hidden]):not(.d)", (all) => all.length);
  if (same > 0) problem(where, `${same} rows without a difference are shown`);
  await tab.select("#which", "all");
  await showAll(tab, where, all);
}

// showAll wants few rows until the button shows all, and few on paper.
async function showAll(tab, where, all) {
  const visible = () => tab.$$eval("#functions tbody tr:not([hidden])", (rows) => rows.length);
  const few = await visible();
  if (few !== Math.min(all, 300)) problem(where, `${few} of ${all} rows are shown at first`);
  if (few === all) return;
  await tab.focus("#more");
  await tab.keyboard.press("Enter");
  if ((await visible()) !== all) problem(where, "the button does not show all rows");
  await tab.evaluate(() => dispatchEvent(new Event("beforeprint")));
  if ((await visible()) !== few) problem(where, "a print would have all rows");
}

for (const width of [400, 1280]) {
  for (const scheme of ["light", "dark"]) await look(width, scheme);
}
const tab = await browser.newPage();
await tab.goto("file://" + page);
await tab.pdf({ path: join(pictures, "print.pdf"), format: "A4", timeout: 0 });
await browser.close();
console.log(problems ? `${problems} problems` : "no problems");
process.exitCode = problems ? 1 : 0;
