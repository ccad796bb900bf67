
"use strict";
(function () {
  var form = document.getElementById("filter");
  if (!form) return;
  var table = document.getElementById("functions");
  var rows = Array.from(table.tBodies[0].rows);
  var text = document.getElementById("text");
  var which = document.getElementById("which");
  var build = document.getElementById("in");
  var shown = document.getElementById("shown");
  // Like aliases, keys have an underscore for everything but letters and digits.
  function fold(s) { return s.toLowerCase().replace(/[^a-z0-9]+/g, "_"); }
  var keys = rows.map(function (r) { return fold(r.cells[0].textContent); });
  function apply() {
    var want = fold(text.value.trim());
    var place = want.replace(/_\d+(_\d+)?$/, "") || want; // an alias without its line
    var column = build.selectedIndex;
    var count = 0;
    rows.forEach(function (r, i) {
      var differs = r.className === "d";
      var show = (keys[i].includes(want) || keys[i].includes(place)) &&
        (which.value === "all" || (which.value === "differ") === differs) &&
        (!column || r.cells[column].textContent !== "–");
      r.hidden = !show;
      if (show) count++;
    });
    shown.textContent = count + " of " + rows.length + " functions shown";
  }
  form.addEventListener("submit", function (e) { e.preventDefault(); });
  form.addEventListener("input", apply);
  form.hidden = false;
  apply();
})();
