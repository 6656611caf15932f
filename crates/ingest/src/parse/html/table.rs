//! Tables of HTML.

use scraper::{ElementRef, Node};

use super::super::clean;
use super::{Walker, flat_text, is_block, is_heading};

/// Most columns or rows that one cell may span.
const MOST_SPAN: usize = 100;

impl Walker<'_> {
    pub(super) fn table(&mut self, table: ElementRef<'_>, depth: usize) {
        let rows = own_rows(table);
        let cells = |row: ElementRef<'_>| row.child_elements().filter(|e| is_cell(e.value().name())).count();
        let layout = rows.iter().all(|row| cells(*row) <= 1)
            || (matches!(table.value().attr("role"), Some("presentation" | "none")))
            || (rows.len() <= 3
                && table.descendent_elements().filter(|e| e.value().name() == "table").count() > 1);
        if layout {
            self.children(table, depth + 1);
            self.flush();
            return;
        }
        if let Some(caption) = table.child_elements().find(|e| e.value().name() == "caption") {
            self.builder.paragraph(&flat_text(caption));
        }
        let grid = self.grid(&rows);
        self.builder.table(&grid);
    }

    /// The cells of a table; a cell that spans columns or rows is repeated in each.
    fn grid(&mut self, rows: &[ElementRef<'_>]) -> Vec<Vec<String>> {
        let mut grid: Vec<Vec<String>> = Vec::new();
        // Per column: the text that hangs down from above, and for how many more rows.
        let mut hanging: Vec<(String, usize)> = Vec::new();
        for row in rows {
            if self.skipped(*row) {
                continue;
            }
            let mut cells: Vec<String> = Vec::new();
            for cell in row.child_elements().filter(|e| is_cell(e.value().name())) {
                self.hang(&mut cells, &mut hanging);
                let span = |name: &str| {
                    let n = cell.value().attr(name).and_then(|v| v.trim().parse::<usize>().ok()).unwrap_or(1);
                    n.clamp(1, MOST_SPAN)
                };
                let text =
                    if self.skipped(cell) { String::new() } else { clean::inline(&self.cell_text(cell)) };
                let (wide, tall) = (span("colspan"), span("rowspan"));
                for _ in 0..wide {
                    if !self.builder.may_copy(&text) {
                        return grid;
                    }
                    let column = cells.len();
                    if tall > 1 {
                        if hanging.len() <= column {
                            hanging.resize(column + 1, (String::new(), 0));
                        }
                        hanging[column] = (text.clone(), tall - 1);
                    }
                    cells.push(text.clone());
                }
            }
            self.hang(&mut cells, &mut hanging);
            grid.push(cells);
        }
        grid
    }

    /// Repeats what hangs down from the rows above, up to the next free column.
    fn hang(&mut self, cells: &mut Vec<String>, hanging: &mut [(String, usize)]) {
        while let Some((text, left)) = hanging.get_mut(cells.len()).filter(|(_, left)| *left > 0) {
            if !self.builder.may_copy(text) {
                return;
            }
            *left -= 1;
            cells.push(text.clone());
        }
    }

    fn cell_text(&self, cell: ElementRef<'_>) -> String {
        let mut text = String::new();
        let mut open: Vec<_> = cell.children().rev().collect();
        while let Some(node) = open.pop() {
            match node.value() {
                Node::Text(t) => text.push_str(t),
                Node::Element(_) => {
                    let Some(element) = ElementRef::wrap(node).filter(|e| !self.skipped(*e)) else {
                        continue;
                    };
                    let name = element.value().name();
                    if is_block(name) || matches!(name, "br" | "li" | "td" | "th" | "tr") || is_heading(name)
                    {
                        text.push(' ');
                    }
                    open.extend(node.children().rev());
                }
                _ => {}
            }
        }
        text
    }
}

/// Rows of `table` itself, not of tables within it.
fn own_rows(table: ElementRef<'_>) -> Vec<ElementRef<'_>> {
    let mut rows = Vec::new();
    for child in table.child_elements() {
        match child.value().name() {
            "tr" => rows.push(child),
            "thead" | "tbody" | "tfoot" => {
                rows.extend(child.child_elements().filter(|e| e.value().name() == "tr"));
            }
            _ => {}
        }
    }
    rows
}

fn is_cell(name: &str) -> bool {
    matches!(name, "td" | "th")
}
