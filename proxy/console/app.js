// The console's frame: which page, the bar above it, keys, messages.
//
// How a page plugs in: write `pages/NAME.js` whose default export is a component; add a row to
// PAGES below and the file to the table in `proxy/src/control/console.rs`. The component gets
// `params`, the decoded parts of the address behind `#/NAME`. Pages take live numbers from the store
// (`useStore`), everything else by `usePoll("/v1/…")`, act by `Confirm` and `act`, and hide what the
// person may not do (`useMay`). Whatever a page shows is in the API and under the command line's
// `--json`. Colours and distances are the variables at the head of `style.css`. The policy of the page forbids inline
// script and style: `style=${{ … }}` with an object is allowed, as it goes through CSSOM.

import { Component, html, render, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { token } from "./api.js";
import { ago } from "./format.js";
import { dismiss, follow, signIn, useStore } from "./store.js";
import { Dialog, GLYPHS } from "./ui.js";

/** Name in the address, title, key after `g`, and where it is. */
const PAGES = [
  { name: "overview", title: "Overview", key: "o", load: () => import("./pages/overview.js") },
  { name: "rollout", title: "Rollout", key: "r", load: () => import("./pages/rollout.js") },
  { name: "shadow", title: "Shadow", key: "s", load: () => import("./pages/shadow.js"), sheet: "console/pages.css" },
  { name: "flags", title: "Flags", key: "f", load: () => import("./pages/flags.js"), sheet: "console/pages.css" },
  { name: "routes", title: "Routes", key: "p", load: () => import("./pages/routes.js"), sheet: "console/pages.css" },
  { name: "cores", title: "Cores", key: "c", load: () => import("./pages/cores.js") },
  { name: "events", title: "Events", key: "e", load: () => import("./pages/events.js") },
];

function parse() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decode);
  const page = PAGES.find((one) => one.name === parts[0]) ?? PAGES[0];
  return { page, params: parts.slice(1) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function useAddress() {
  const [at, set] = useState(parse);
  useEffect(() => {
    const follow = () => set(parse());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return at;
}

/** Catches what a page does wrong, so that the bar above it still works. */
class Guard extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error, of: this.props.name });
  }

  render({ children, name }, { error, of }) {
    if (!error || of !== name) return children;
    return html`<p class="fault" role="alert">This page failed: ${String(error.message)}.
      <button type="button" onClick=${() => this.setState({ error: null })}>Try again</button></p>`;
  }
}

/** Loads a style sheet that only some pages need. */
function styled(href) {
  if (document.querySelector(`link[href="${href}"]`)) return null;
  return new Promise((done) => {
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href, onload: done, onerror: done }));
  });
}

function Page({ at }) {
  const [loaded, set] = useState({});
  const { name, load, title, sheet } = at.page;
  useEffect(() => {
    document.title = `${title} · gnomon`;
    let current = true;
    Promise.all([load(), sheet && styled(sheet)]).then(([module]) => current && set({ name, component: module.default }),
      (error) => current && set({ name, error }));
    return () => { current = false; };
  }, [name]);
  if (loaded.name !== name) return html`<p class="boot">Loading…</p>`;
  if (loaded.error) return html`<p class="fault" role="alert">The page could not be loaded: ${loaded.error.message}</p>`;
  return html`<${Guard} name=${name}><${loaded.component} params=${at.params} key=${at.params.join("/")} /><//>`;
}

const LINKS = {
  connecting: ["wait", "connecting"],
  live: ["good", "live"],
  stale: ["warn", "stale"],
  offline: ["bad", "offline"],
  signin: ["rest", "signed out"],
};

function Link() {
  const link = useStore((it) => it.link);
  const trouble = useStore((it) => it.trouble);
  const [tone, text] = LINKS[link];
  return html`<span class="link ${tone}" role="status" title=${trouble}>
    <span class="glyph" aria-hidden="true">${GLYPHS[tone]}</span> ${text}</span>`;
}

/** Says that what is shown was so some time ago. */
function Old() {
  const trouble = useStore((it) => it.trouble);
  const at = useStore((it) => it.beat?.at);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return html`<p class="old" role="alert"><b>${at ? `What you see was so ${ago(at / 1000)}` : "There is no news yet"}:</b> ${trouble}. The console keeps trying.</p>`;
}

const THEMES = { auto: "◐", light: "☀", dark: "☾" };

function useTheme() {
  const [theme, set] = useState(document.documentElement.dataset.theme ?? "auto");
  const turn = () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[theme];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("gnomon-theme", next);
    } catch {
      // It holds for this page then.
    }
    dispatchEvent(new Event("themechange"));
    set(next);
  };
  return [theme, turn];
}

function Bar({ at, onHelp, theme, turn }) {
  const me = useStore((it) => it.me);
  return html`<header class="top">
    <a class="brand" href="#/overview" aria-label="gnomon, overview">
      <svg viewBox="0 0 32 32" width="20" height="20" aria-hidden="true"><path d="M4 26h24M8 26 18 5v21" /></svg>
      <span>gnomon</span></a>
    ${me?.host && html`<span class="host" title="version ${me.version}">${me.host}</span>`}
    <nav aria-label="Pages">${PAGES.map((page) => html`<a key=${page.name} href="#/${page.name}"
      aria-current=${page === at.page ? "page" : undefined}>${page.title}</a>`)}</nav>
    <span class="tools">
      <${Link} />
      ${me && html`<span class="role" title=${me.name ? `as ${me.name}` : ""}>${me.role}</span>`}
      <button type="button" class="plain" onClick=${turn} aria-label="Colours: ${theme}" title="Colours: ${theme}">${THEMES[theme]}</button>
      <button type="button" class="plain" onClick=${onHelp} aria-label="Keys" title="Keys (?)">?</button>
    </span>
  </header>`;
}

function Keys({ onClose }) {
  const rows = [
    ...PAGES.map((page) => [`g ${page.key}`, page.title]),
    ["/", "Search in the list"], ["t", "Colours: as the system's, light, dark"], ["?", "These keys"], ["Esc", "Close"],
  ];
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">${rows.map(([keys, text]) => html`<div key=${keys}><dt>${keys.split(" ").map((key) => html`<kbd key=${key}>${key}</kbd> `)}</dt><dd>${text}</dd></div>`)}</dl>
    <p class="small">Made with <a href="console/vendor/htm.LICENSE">htm</a>, <a href="console/vendor/preact.LICENSE">Preact</a> and${" "}
      <a href="console/vendor/uplot.LICENSE">uPlot</a>.</p>
    <div class="buttons"><button type="button" class="main" onClick=${onClose}>Close</button></div><//>`;
}

function useKeys(onHelp, turn) {
  const latest = useRef();
  latest.current = { onHelp, turn };
  useEffect(() => {
    let went = 0;
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.("input, textarea, select, dialog")) return;
      const page = went > event.timeStamp - 1500 && PAGES.find((one) => one.key === event.key);
      went = 0;
      if (page) location.hash = `#/${page.name}`;
      else if (event.key === "g") went = event.timeStamp;
      else if (event.key === "?") latest.current.onHelp();
      else if (event.key === "t") latest.current.turn();
      else if (event.key === "/") {
        const field = document.querySelector("[data-search]");
        if (!field) return;
        event.preventDefault();
        field.focus();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function Toasts() {
  const toasts = useStore((it) => it.toasts);
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.map((one) => html`
    <div class="toast ${one.tone}" key=${one.id}><span class="glyph" aria-hidden="true">${GLYPHS[one.tone]}</span>
      <span>${one.text}</span><button type="button" class="plain" aria-label="Dismiss" onClick=${() => dismiss(one.id)}>✕</button></div>`)}</div>`;
}

function SignIn() {
  const trouble = useStore((it) => it.trouble);
  const [secret, set] = useState("");
  const send = (event) => {
    event.preventDefault();
    signIn(secret.trim());
  };
  return html`<main class="signin"><form onSubmit=${send}>
    <h1>Sign in</h1>
    <p>This proxy asks for a token. It is kept for this tab only.</p>
    <label class="field"><span>Token</span><input type="password" required autocomplete="current-password" value=${secret}
      onInput=${(event) => set(event.target.value)} /></label>
    ${token.get() && html`<p class="fault" role="alert"><span class="glyph" aria-hidden="true">✕</span> ${trouble || "That token was not accepted."}</p>`}
    <div class="buttons"><button class="main" type="submit">Sign in</button></div>
  </form></main>`;
}

function App() {
  const at = useAddress();
  const link = useStore((it) => it.link);
  const [help, setHelp] = useState(false);
  const [theme, turn] = useTheme();
  const main = useRef();
  useKeys(() => setHelp(true), turn);
  const path = `${at.page.name}/${at.params.join("/")}`;
  useEffect(() => {
    scrollTo(0, 0);
    // On a phone, the tabs scroll.
    const tab = document.querySelector(".top nav [aria-current]");
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 48;
  }, [path]);
  if (link === "signin") return html`<${SignIn} />`;
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  return html`<div class="frame ${link}">
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <${Bar} at=${at} onHelp=${() => setHelp(true)} theme=${theme} turn=${turn} />
    ${(link === "stale" || link === "offline") && html`<${Old} />`}
    <main id="main" tabindex="-1" ref=${main}><${Page} at=${at} /></main>
    <${Toasts} />
    ${help && html`<${Keys} onClose=${() => setHelp(false)} />`}
  </div>`;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
follow();
