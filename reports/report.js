"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = {
    responsive: true, displaylogo: false, displayModeBar: false, showSendToCloud: false,
    showTips: false, doubleClick: "reset",
  };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Figures: plotly.js is unpacked once; each figure takes the colours of the page's theme.

  function colours(printing) {
    const night = dark.matches && !printing;
    return night
      ? { ink: "#e7ecf0", quiet: "#a3aeb9", grid: "#26303a", ground: "#0f1419" }
      : { ink: "#16202a", quiet: "#57626e", grid: "#e6eaee", ground: "#ffffff" };
  }

  function themed(figure, height, width, printing) {
    const paint = colours(printing);
    const layout = structuredClone(figure.layout);
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      layout[key] = {
        gridcolor: paint.grid, zerolinecolor: paint.grid, linecolor: paint.grid, zeroline: false,
        ...layout[key],
      };
      if (width < 420 && key.startsWith("x") && layout[key].tickvals && layout[key].side === "top") {
        layout[key].tickangle = -55;
      }
    }
    for (const note of layout.annotations || []) {
      note.font = { ...note.font, color: paint.ink };
      note.bgcolor = paint.ground;
      note.borderpad = 1;
    }
    const sheet = printing ? { width, autosize: false } : { autosize: true };
    return {
      ...sheet, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: printing ? 10 : 12, color: paint.ink },
      margin: { l: 48, r: 16, t: 12, b: 44 }, height, dragmode: false,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left" },
      hoverlabel: { font: { size: 12 } },
      ...layout,
    };
  }

  async function unpacked() {
    const store = document.getElementById("plotly");
    if (!store) return false;
    const bytes = Uint8Array.from(atob(store.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    store.remove();
    return typeof Plotly !== "undefined";
  }

  // Pixels between the margins of an A4 sheet, of which two figures share one row.
  const sheet = 650;

  function draw(place, printing = false) {
    const figure = place.figure;
    const wide = place.parentElement.matches(".wide, :nth-child(odd):last-child");
    const half = printing && !wide;
    const most = printing ? (half ? 260 : 520) : Infinity;
    const height = Math.min(most, Number(place.dataset.height) * (printing ? 0.8 : 1));
    const width = printing ? (half ? sheet / 2 - 14 : sheet) : place.clientWidth;
    const layout = themed(figure, height, width, printing);
    // Plotly takes a see-through cell for its full colour when it chooses the colour of the text.
    const data = figure.data.map((trace) =>
      trace.type === "heatmap" ? { ...trace, textfont: { color: layout.font.color } } : trace);
    Plotly.react(place, data, layout, config);
    if (place.dataset.action && !place.dataset.bound) {
      place.dataset.bound = "yes";
      place.on("plotly_click", (event) => showConfusion(figure, event.points[0]));
    }
  }

  async function drawAll() {
    const places = all(".plot");
    if (!places.length) return;
    let ready = false;
    try {
      ready = await unpacked();
    } catch (error) {
      console.warn(error);
    }
    if (!ready) {
      for (const place of places) {
        place.textContent = "This browser cannot draw the figure; its numbers are in the table below.";
      }
      return;
    }
    for (const store of all("script[data-figure]")) {
      document.getElementById(store.dataset.figure).figure = JSON.parse(store.textContent);
    }
    for (const place of places) {
      draw(place);
      // Between two figures the page may answer to a scroll or a click.
      await new Promise((resume) => setTimeout(resume));
    }
    document.documentElement.dataset.drawn = String(places.length);
    dark.addEventListener("change", () => places.forEach((place) => draw(place)));
    addEventListener("beforeprint", () => places.forEach((place) => draw(place, true)));
    addEventListener("afterprint", () => places.forEach((place) => draw(place)));
  }

  // Gallery: filters, and the cells of the confusion matrix.

  const filters = document.querySelector(".filters");

  function filter() {
    const wanted = all("select", filters).filter((select) => select.value);
    let shown = 0;
    for (const picture of all(".picture")) {
      const fits = wanted.every((select) => picture.dataset[select.dataset.filter] === select.value);
      picture.hidden = !fits;
      shown += fits;
    }
    const images = `${shown} ${shown === 1 ? "image" : "images"}`;
    filters.querySelector("[data-count]").textContent =
      shown || !wanted.length ? images : "no image kept of these; mistakes with the most confidence are";
  }

  function choose(name, value) {
    const select = filters.querySelector(`[data-filter="${name}"]`);
    select.value = value;
    return select.value === value;
  }

  function showConfusion(figure, point) {
    if (!filters) return;
    const { names, labels } = figure.layout.meta;
    choose("group", "");
    const found = [["true", point.y], ["predicted", point.x]].map(
      ([name, text]) => choose(name, names[labels.indexOf(text)]),
    );
    filter();
    if (!found.every(Boolean)) filters.querySelector("[data-count]").textContent = "no image kept of this cell";
    document.getElementById("predictions").scrollIntoView();
  }

  function bindGallery() {
    if (!filters) return;
    filters.hidden = false;
    filters.addEventListener("change", filter);
    filters.querySelector("[data-reset]").addEventListener("click", () => {
      all("select", filters).forEach((select) => { select.value = ""; });
      filter();
    });
  }

  // Tables: a click on a column's name sorts.

  function value(row, column) {
    const cell = row.cells[column];
    const number = cell.dataset.sort;
    return number === "" ? cell.textContent.trim() : Number(number);
  }

  function compare(a, b) {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
    return typeof a === "number" ? -1 : 1;
  }

  function sort(table, column) {
    const head = table.tHead.rows[0].cells[column];
    const turn = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    const first = head.getAttribute("aria-sort") === null && !head.classList.contains("n") ? 1 : turn;
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", first === 1 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => first * compare(value(a, column), value(b, column)));
    table.tBodies[0].append(...rows);
  }

  function bindTables() {
    for (const table of all("table")) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = head.textContent;
        button.addEventListener("click", () => sort(table, column));
        head.replaceChildren(button);
      });
    }
  }

  // The threshold: a sentence that follows the slider.

  function bindThreshold() {
    const box = document.querySelector(".threshold");
    if (!box) return;
    const steps = box.dataset.steps.split(";").map((step) => step.split(",").map(Number));
    const images = Number(box.dataset.images);
    const slider = box.querySelector("input");
    const say = () => {
      const [threshold, answered, right] = steps[Number(slider.value)];
      box.querySelector("output").textContent = threshold.toFixed(2);
      slider.setAttribute("aria-valuetext", threshold.toFixed(2));
      const accuracy = answered ? (right / answered).toFixed(3) : "–";
      box.querySelector("p").textContent =
        `It answers ${answered} of ${images} test images (${((100 * answered) / images).toFixed(1)} %), ` +
        `and ${accuracy} of these answers are right; ${answered - right} are wrong.`;
    };
    box.hidden = false;
    slider.addEventListener("input", say);
    say();
  }

  // The list of sections shows where the reader is.

  function bindSections() {
    const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-10% 0px -80% 0px" });
    links.forEach((_, id) => seen.observe(document.getElementById(id)));
  }

  bindGallery();
  bindTables();
  bindThreshold();
  bindSections();
  drawAll();
})();
