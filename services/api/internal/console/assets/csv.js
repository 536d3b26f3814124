// What is shown, as a file for a spreadsheet.

// csvOf writes RFC 4180. A spreadsheet runs a cell that begins like a formula, and an order's texts come from customers: such a cell
// gets an apostrophe, which a spreadsheet does not show.
export function csvOf(rows, columns) {
  const cell = (value) => {
    const text = String(value ?? '');
    const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((line) => line.map(cell).join(',')).join('\r\n') + '\r\n';
}

// save hands a file to the reader. The mark at its beginning tells Excel that it is UTF-8.
export function save(name, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
