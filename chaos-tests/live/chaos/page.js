// Zoom and a reading line for the timelines. Without it everything is still there, only smaller.
"use strict";
(function () {
  const MOST = 64;

  function clock(seconds) {
    const rest = (seconds % 60).toFixed(1);
    return Math.floor(seconds / 60) + ":" + (rest.length === 3 ? "0" + rest : rest);
  }

  function prepare(article) {
    const scroll = article.querySelector(".scroll");
    const tools = article.querySelector(".tools");
    if (!scroll || !tools) {
      return;
    }
    const drawing = scroll.querySelector("svg");
    const output = tools.querySelector("output");
    const length = Number(scroll.dataset.length);
    const cursor = document.createElement("div");
    let factor = 1;
    cursor.className = "cursor";
    cursor.hidden = true;
    scroll.appendChild(cursor);
    tools.hidden = false;

    function zoom(by, at) {
      const next = Math.min(MOST, Math.max(1, factor * by));
      const middle = at === undefined ? scroll.clientWidth / 2 : at;
      const share = (scroll.scrollLeft + middle) / drawing.clientWidth;
      factor = next;
      drawing.style.width = factor * 100 + "%";
      scroll.scrollLeft = share * drawing.clientWidth - middle;
      output.textContent = factor === 1 ? "" : factor + " times";
    }

    function point(event) {
      const x = event.clientX - scroll.getBoundingClientRect().left;
      const seconds = (scroll.scrollLeft + x) / drawing.clientWidth * length;
      const shape = event.target.closest("[data-what]");
      cursor.hidden = false;
      cursor.style.left = scroll.scrollLeft + x + "px";
      output.textContent = clock(seconds) + (shape ? "  " + shape.dataset.what : "");
    }

    tools.addEventListener("click", function (event) {
      if (event.target.dataset.zoom) {
        zoom(Number(event.target.dataset.zoom));
      }
    });
    scroll.addEventListener("keydown", function (event) {
      if (event.key === "+" || event.key === "=") {
        zoom(2);
      } else if (event.key === "-") {
        zoom(0.5);
      }
    });
    scroll.addEventListener("wheel", function (event) {
      if (event.ctrlKey) {
        event.preventDefault();
        zoom(event.deltaY > 0 ? 0.5 : 2, event.clientX - scroll.getBoundingClientRect().left);
      }
    }, { passive: false });
    scroll.addEventListener("pointermove", point);
    scroll.addEventListener("pointerleave", function () {
      cursor.hidden = true;
    });
  }

  document.querySelectorAll("article.round").forEach(prepare);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (one) {
      one.open = true;
    });
  });
}());
