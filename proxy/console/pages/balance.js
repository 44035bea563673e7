// What became of every request that a shadow could have had. A rate of differences says nothing
// without it.

import { html } from "../vendor/htm-preact.js";
import { part } from "../api.js";
import { count, percent, weight, whole, words } from "../format.js";
import { Section } from "../ui.js";

/** One shadow's accounts. */
export function Balance({ shadow, link }) {
  const { accounting: a } = shadow;
  const name = link ? html`<a href=${`#/shadow/${part(shadow.name)}`}>${shadow.name}</a>` : "Coverage";
  const aside = html`<span>${shadow.from} → ${shadow.to}</span><span>${weight(shadow.sample)} of what is eligible</span>`;
  const answered = a.again - Math.min(a.again, a.again_failed);
  return html`<${Section} id=${`balance-${shadow.name}`} title=${name} aside=${aside}>
    <div class="body">
      <dl class="figures">
        <div><dt>Compared</dt><dd>${count(a.compared)} <span class="dim">of ${count(a.eligible)}</span></dd></div>
        <div><dt>Coverage</dt><dd>${a.eligible ? percent(a.coverage) : "–"}</dd></div>
        <div><dt>Different</dt><dd>${a.compared ? percent(a.difference_rate) : "–"} <span class="dim">${count(a.different)}</span></dd></div>
        <div><dt>Noise of the primary</dt><dd>${answered
          ? html`${percent(a.noisy / answered)} <span class="dim">of ${count(answered)} asked twice</span>`
          : html`<span class="dim">not learnt</span>`}</dd></div>
      </dl>
      <${Stack} parts=${partsOf(a)} all=${a.eligible} />
    </div><//>`;
}

/** Every eligible request is in exactly one of these. */
function partsOf(a) {
  const sum = (reasons) => Object.values(reasons).reduce((all, one) => all + one, 0);
  return [
    ["equal", "compared, the same", Math.max(0, a.compared - a.different)],
    ["different", "compared, different", a.different],
    ["flight", "under way", a.in_flight],
    ["failed", "not answered by the shadow", sum(a.failed), a.failed],
    ["unpaired", "without the primary's reply", sum(a.unpaired), a.unpaired],
    ["dropped", "not copied", sum(a.dropped), a.dropped],
    ["beside", "beside the sample", Math.max(0, a.eligible - a.sampled)],
  ].map(([name, text, number, reasons]) => ({ name, text, number, reasons }));
}

function Stack({ parts, all }) {
  if (!all) return html`<p class="dim">No request was eligible yet.</p>`;
  const shown = parts.filter(({ number }) => number > 0);
  const why = (reasons) => Object.entries(reasons ?? {}).map(([reason, number]) => `${words(reason)} ${whole(number)}`).join(", ");
  return html`
    <div class="stack" aria-hidden="true">${shown.map(({ name, number }) => html`
      <span key=${name} class=${name} style=${{ flexGrow: number / all }}></span>`)}</div>
    <ul class="legend">${shown.map(({ name, text, number, reasons }) => html`
      <li key=${name}><span class="patch ${name}" aria-hidden="true"></span>${text}
        <strong>${whole(number)}</strong>${why(reasons) && html` <span class="dim">${why(reasons)}</span>`}</li>`)}</ul>`;
}
