/** The report's colours: light or dark as the reader has it. */
export const reportColors = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2230; --faint: #687083; --rule: #e4e3dd;
  --c1: #3454d1; --c2: #d1495b; --c3: #2a9d8f; --c4: #e09f3e; --c5: #7b5ea7; --c6: #5f7470;
  --c7: #4aa3df; --c8: #8c5e3c; --c9: #7fb800; --c10: #d678b0; --c11: #2b2d42; --c12: #8f1d21; --c13: #b5a642;
  --up: #1b7f5c; --down: #b8384a; --shadow: 0 1px 2px #1d223010, 0 6px 20px #1d22300a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161c; --card: #1c1f28; --ink: #e9eaf0; --faint: #969db0; --rule: #2d313d;
    --c1: #8aa2ff; --c2: #ff8a9a; --c3: #62d2c3; --c4: #f3c06b; --c5: #b79be6; --c6: #a5b8b4;
    --c7: #8ecbf2; --c8: #c79a78; --c9: #b4dd5a; --c10: #f0a8d2; --c11: #dfe1ee; --c12: #ff5f57; --c13: #e8dc7a;
    --up: #62d2a2; --down: #ff8a9a; --shadow: none;
  }
}
`;

/** The report's looks, from a telephone to a wide screen. */
export const reportStyle = `${reportColors}* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2.5rem) 4rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1rem; }
h1 { font-size: clamp(2rem, 5vw, 3rem); line-height: 1.1; letter-spacing: -.03em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; letter-spacing: -.015em; margin: 0 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .5rem; }
h3 .unit { font-weight: 400; color: var(--faint); font-size: .84rem; margin-left: .3rem; }
section { margin-top: 3rem; }
section > p { max-width: 46rem; color: var(--faint); margin: 0 0 1.1rem; }
figure { margin: 0; }
figcaption { color: var(--faint); font-size: .84rem; line-height: 1.4; }
.lead { font-size: 1.15rem; max-width: 46rem; margin: 1rem 0 1.75rem; }
.up { color: var(--up); } .down { color: var(--down); }
.state { font-size: .85rem; padding: .2rem .7rem; border-radius: 99px; background: var(--rule); }
.state.finished { background: color-mix(in srgb, var(--up) 16%, transparent); color: var(--up); }
.state.running { background: color-mix(in srgb, var(--c1) 16%, transparent); color: var(--c1); }
.state.failed, .state.killed, .state.diverged { background: color-mix(in srgb, var(--down) 16%, transparent); color: var(--down); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(225px, 1fr)); gap: 1rem; }
.tile, .hero, .plot, .pair, .warnings, .strip { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; box-shadow: var(--shadow); }
.tile { padding: 1rem 1.15rem; display: grid; grid-row: span 3; grid-template-rows: subgrid; row-gap: 0; }
.label { color: var(--faint); font-size: .85rem; }
.value { font-size: 1.6rem; font-weight: 650; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.value i, .pair i { font-style: normal; color: var(--faint); font-weight: 400; }
.note { color: var(--faint); font-size: .8rem; line-height: 1.4; }
.hero { padding: 1.4rem 1.4rem 1rem; margin-top: 1.25rem; }
.hero svg, .plot svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.4rem; font-size: .84rem; margin: .2rem 0 .5rem; }
.legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 3px; margin-right: .45rem; }
.hero .narrow { display: none; }
@media (max-width: 680px) { .hero .wide { display: none; } .hero .narrow { display: block; } }
.empty { color: var(--faint); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
.plot { padding: 1.1rem 1.2rem; }
.plot figcaption { margin-top: .5rem; }
img.sample { image-rendering: pixelated; border-radius: 6px; display: block; outline: 1px solid var(--rule); }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 240px), 1fr)); gap: 1rem; }
.pair { padding: .9rem; }
.pair > div { display: grid; grid-template-columns: 1fr auto 1fr; gap: .5rem; align-items: center; }
.pair img { width: 100%; aspect-ratio: 1; }
.pair figcaption { margin-top: .6rem; color: var(--ink); }
.reward { color: var(--faint); font-variant-numeric: tabular-nums; }
.note { color: var(--faint); overflow-wrap: anywhere; }
details { margin-top: 1rem; } summary { cursor: pointer; color: var(--c1); margin-bottom: 1rem; }
.strip { padding: .9rem; margin-bottom: 1rem; }
.strip img { width: 100%; }
.strip figcaption { margin-top: .5rem; }
.extremes { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: .9rem; }
.row img { width: 100%; aspect-ratio: 1; }
.row figcaption { margin-top: .35rem; } .row b { display: block; color: var(--ink); font-variant-numeric: tabular-nums; }
.warnings { padding: 1.2rem 1.4rem; border-left: 4px solid var(--c4); }
.warnings p { color: var(--ink); white-space: pre-line; } .warnings ul { margin: 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 650; padding-bottom: .3rem; }
th { font-weight: 400; color: var(--faint); text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; white-space: nowrap; }
td { padding: .25rem 0; text-align: right; overflow-wrap: anywhere; } tr { border-top: 1px solid var(--rule); }
.numbers th, .numbers td { text-align: right; padding: .4rem .4rem; } .numbers th { white-space: normal; vertical-align: bottom; } .numbers td { white-space: nowrap; }
.numbers th:first-child, .numbers td:first-child { text-align: left; }
.constants { margin-top: 1.5rem; max-width: 46rem; } .constants th { white-space: normal; color: var(--ink); } .constants td { white-space: nowrap; vertical-align: top; }
.groups { columns: 3 290px; column-gap: 2.5rem; } .groups table { break-inside: avoid; margin-bottom: 1.75rem; }
footer { margin-top: 4rem; color: var(--faint); font-size: .85rem; }
code { font-size: .92em; overflow-wrap: anywhere; }
@media (max-width: 600px) { .pairs { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; } }
@media print { .tile, .hero, .plot, .pair { break-inside: avoid; box-shadow: none; } }
`;
