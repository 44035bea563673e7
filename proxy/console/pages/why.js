// What a flag comes to for somebody, and why.

import { html, useState } from "../vendor/htm-preact.js";
import { act } from "../api.js";
import { Command, Fault, Section, State, quoted } from "../ui.js";

/** `name: value` lines as pairs; what has no colon is a field without a value. */
export function fields(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const at = line.indexOf(":");
    return at < 0 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}

export function Why({ flag }) {
  const [asked, set] = useState({ url: "/", user: "", client: "", headers: "" });
  const [found, setFound] = useState({});
  const put = (name) => (event) => set({ ...asked, [name]: event.target.value });
  const ask = async (event) => {
    event.preventDefault();
    const { url, user, client, headers } = asked;
    const question = { flag, url, headers: fields(headers), ...(user && { user }), ...(client && { client }) };
    try {
      setFound({ why: await act("/v1/flags/why", question) });
    } catch (error) {
      setFound({ error });
    }
  };
  const cli = ["gnomon flag why", quoted(flag), quoted(asked.url), asked.user && `--user ${quoted(asked.user)}`, asked.client && `--client ${quoted(asked.client)}`,
    ...fields(asked.headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`)].filter(Boolean).join(" ");
  return html`<${Section} id="why" title="What would somebody get, and why">
    <form class="body question even" onSubmit=${ask}>
      <label class="field"><span>URL</span><input required value=${asked.url} onInput=${put("url")} /></label>
      <label class="field"><span>User</span><input value=${asked.user} onInput=${put("user")} /></label>
      <label class="field"><span>Client</span><input placeholder="127.0.0.1" value=${asked.client} onInput=${put("client")} /></label>
      <label class="field wide"><span>Fields <small>one a line, as <code>x-staff: 1</code></small></span>
        <textarea rows="2" spellcheck="false" value=${asked.headers} onInput=${put("headers")}></textarea></label>
      <div class="buttons"><button type="submit" class="main">Ask</button></div>
    </form>
    <${Fault} error=${found.error} />
    ${found.why && html`<div class="body answer" aria-live="polite">${found.why.flags.map((one) => html`<div key=${one.name}>
      <p><${State} tone=${one.error ? "bad" : "done"}>${one.variant ?? "what is in the code"}<//>
        <code> ${JSON.stringify(one.value)}</code> <span class="dim">${one.reason}${one.error ? `, ${one.error}` : ""}</span></p>
      <ol class="steps">${one.steps.map((step, nth) => html`<li key=${nth}>${step}</li>`)}</ol></div>`)}
      <p class="small">Groups: ${found.why.groups.join(", ") || "none"}</p>
      <${Command}>${cli}<//></div>`}
  <//>`;
}
