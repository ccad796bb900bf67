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
  var more = document.getElementById("more");
  // Browsers take a second to lay out the rows of twenty kernels, and gigabytes to print them.
  var some = 300;
  // Like aliases, keys have an underscore for everything but letters and digits.
  function fold(s) { return s.toLowerCase().replace(/[^a-z0-9]+/g, "_"); }
  var keys = rows.map(function (r) { return fold(r.cells[0].textContent); });
  function comma(n) { return n.toLocaleString("en"); }
  function apply(most) {
    var want = fold(text.value.trim());
    var place = want.replace(/_\d+(_\d+)?$/, "") || want; // an alias without its line
    var column = build.selectedIndex;
    var count = 0;
    rows.forEach(function (r, i) {
      var differs = r.className === "d";
      var found = (keys[i].includes(want) || keys[i].includes(place)) &&
        (which.value === "all" || (which.value === "differ") === differs) &&
        (!column || r.cells[column].textContent !== "–");
      if (found) count++;
      r.hidden = !found || count > most;
    });
    shown.textContent = comma(count) + " of " + comma(rows.length) + " functions" +
      (count > most ? ", the first " + most + " shown" : "");
    more.hidden = count <= most;
  }
  form.addEventListener("submit", function (e) { e.preventDefault(); });
  form.addEventListener("input", function () { apply(some); });
  more.addEventListener("click", function () { apply(Infinity); text.focus(); });
  addEventListener("beforeprint", function () { apply(some); });
  form.hidden = false;
  apply(some);
})();
