#!/usr/bin/env python3
"""Build the binary documents (pdf, docx, pptx, xlsx) of this corpus from sources/.

    python3 -m venv /tmp/corpus-venv
    /tmp/corpus-venv/bin/pip install python-docx python-pptx openpyxl reportlab pyphen
    /tmp/corpus-venv/bin/python docs-corpus/make_binaries.py [name ...]

Without a name every source is built; with names only the sources whose output
path contains one of them. The same sources give the same bytes.

A source is a text file sources/**/*.md: `key: value` lines between `---` lines, then a body.

Front matter
    output:    path below docs-corpus, the extension picks the format (required)
    title:     document title (pdf: printed on top; docx: Title paragraph; metadata everywhere)
    date:      2026-01-31, the only date that goes into the metadata
    author:    metadata
    header:    pdf and docx: text of the running header
    footer:    pdf: text left of "Page n of m"
    lang:      en (default) or zh (pdf: CJK font and wrapping, footer "第 n 页 共 m 页")
    font:      zh pdf only: stsong (not embedded, default) or a path of a TrueType font to embed
    hyphenate: true to break words at line ends (pdf, en)

Body of pdf and docx
    # / ## / ###   headings
    - text         bullet;  1. text   numbered item
    | a | b |      table; the first row is the header row (a |---| row is ignored)
    ===            page break
    anything else  a paragraph; lines up to the next blank line belong together
Body of pptx
    # title        starts a slide;  - text  bullet;  | a | b |  table row
    Notes: text    speaker notes of the slide (one line each, may repeat)
Body of xlsx
    ## name        starts a sheet;  | a | b |  row; a cell that reads as a plain number becomes one
    any other line becomes a row with one cell
"""
import datetime
import io
import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent


def load(path):
    text = path.read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    meta = dict(line.split(": ", 1) for line in head.strip().splitlines())
    date = datetime.date.fromisoformat(meta.get("date", "2026-01-15"))
    meta["stamp"] = datetime.datetime(date.year, date.month, date.day, 9, 0, 0)
    meta["hyphenate"] = meta.get("hyphenate") == "true"
    meta.setdefault("author", "Haldenbrück Sensorik GmbH")
    meta.setdefault("title", path.stem)
    meta.setdefault("lang", "en")
    return meta, body


def cells(line):
    return [c.strip() for c in line.strip().strip("|").split("|")]


def is_rule(line):
    return re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", line.strip()) is not None


def blocks(body, lang):
    """Yield (kind, value) for the body of a pdf or docx."""
    para, table = [], []
    joiner = "" if lang == "zh" else " "

    def flush():
        nonlocal para, table
        if para:
            yield "p", joiner.join(para)
        if table:
            yield "table", table
        para, table = [], []

    for line in body.splitlines() + [""]:
        s = line.strip()
        if s.startswith("|"):
            if para:
                yield from flush()
            if not is_rule(s):
                table.append(cells(s))
            continue
        m = re.match(r"(#{1,3}) (.*)", s) or re.match(r"(-|\d+\.) (.*)", s)
        if not s or s == "===" or m or table:
            yield from flush()
        if s == "===":
            yield "break", None
        elif m:
            mark = m.group(1)
            kind = f"h{len(mark)}" if mark[0] == "#" else ("li" if mark == "-" else "ol")
            yield kind, m.group(2) if kind != "ol" else (mark, m.group(2))
        elif s:
            para.append(s)


def repack(data):
    """Rewrite an Office file with fixed zip timestamps."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as src, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as dst:
        for name in src.namelist():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            dst.writestr(info, src.read(name))
    return out.getvalue()


def core(props, meta):
    props.title, props.author = meta["title"], meta["author"]
    props.created = props.modified = meta["stamp"]
    props.last_modified_by = meta["author"]
    props.revision = 1


def make_docx(meta, body, out):
    import docx
    from docx.oxml.ns import qn
    from docx.shared import Pt

    doc = docx.Document()
    core(doc.core_properties, meta)
    if meta["lang"] == "zh":
        style = doc.styles["Normal"]
        style.font.size = Pt(11)
        style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "SimSun")
    if meta.get("header"):
        doc.sections[0].header.paragraphs[0].text = meta["header"]
    doc.add_heading(meta["title"], 0)
    for kind, value in blocks(body, meta["lang"]):
        if kind[0] == "h":
            doc.add_heading(value, int(kind[1]))
        elif kind == "li":
            doc.add_paragraph(value, style="List Bullet")
        elif kind == "ol":
            doc.add_paragraph(value[1], style="List Number")
        elif kind == "p":
            doc.add_paragraph(value)
        elif kind == "break":
            doc.add_page_break()
        else:
            table = doc.add_table(rows=0, cols=len(value[0]), style="Table Grid")
            for row in value:
                for cell, text in zip(table.add_row().cells, row):
                    cell.text = text
            doc.add_paragraph("")
    buf = io.BytesIO()
    doc.save(buf)
    out.write_bytes(repack(buf.getvalue()))


def make_pptx(meta, body, out):
    from pptx import Presentation
    from pptx.util import Inches

    prs = Presentation()
    core(prs.core_properties, meta)
    slide = frame = None
    rows, notes = [], []

    def close():
        if slide is None:
            return
        if rows:
            shape = slide.shapes.add_table(
                len(rows), len(rows[0]), Inches(0.6), Inches(4.2), Inches(8.6), Inches(0.35 * len(rows)))
            for r, row in enumerate(rows):
                for c, text in enumerate(row):
                    shape.table.cell(r, c).text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = "\n".join(notes)

    for line in body.splitlines():
        s = line.strip()
        if s.startswith("# "):
            close()
            slide = prs.slides.add_slide(prs.slide_layouts[1])
            slide.shapes.title.text = s[2:]
            frame, rows, notes = slide.placeholders[1].text_frame, [], []
        elif s.startswith("Notes:"):
            notes.append(s[6:].strip())
        elif s.startswith("|"):
            if not is_rule(s):
                rows.append(cells(s))
        elif s:
            text = s[2:] if s.startswith("- ") else s
            if frame.text == "":
                frame.text = text
            else:
                frame.add_paragraph().text = text
    close()
    buf = io.BytesIO()
    prs.save(buf)
    out.write_bytes(repack(buf.getvalue()))


def number(text):
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        # 1.0 stays text: a spreadsheet would show the number as 1
        if str(value) == text and not text.endswith(".0"):
            return value
    return text


def make_xlsx(meta, body, out):
    import openpyxl
    from openpyxl.styles import Font

    book = openpyxl.Workbook()
    book.remove(book.active)
    props = book.properties
    props.title, props.creator = meta["title"], meta["author"]
    props.created = props.modified = meta["stamp"]
    sheet, first = None, True
    for line in body.splitlines():
        s = line.strip()
        if s.startswith("## "):
            sheet, first = book.create_sheet(s[3:]), True
        elif s.startswith("|"):
            if is_rule(s):
                continue
            sheet.append([number(c) if c else None for c in cells(s)])
            if first:
                for cell in sheet[sheet.max_row]:
                    cell.font = Font(bold=True)
                first = False
        elif s:
            sheet.append([s])
    buf = io.BytesIO()
    book.save(buf)
    data = buf.getvalue()
    # openpyxl stamps the time of saving into docProps/core.xml
    fixed = io.BytesIO()
    stamp = meta["stamp"].strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(io.BytesIO(data)) as src, zipfile.ZipFile(fixed, "w") as dst:
        for name in src.namelist():
            content = src.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            dst.writestr(name, content)
    out.write_bytes(repack(fixed.getvalue()))


def make_pdf(meta, body, out):
    from reportlab.lib import colors
    from reportlab.lib.enums import TA_LEFT
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    zh = meta["lang"] == "zh"
    regular, bold = "Helvetica", "Helvetica-Bold"
    if zh:
        font = meta.get("font", "stsong")
        if font == "stsong":
            regular = bold = "STSong-Light"
            pdfmetrics.registerFont(UnicodeCIDFont(regular))
        else:
            regular = bold = "Embedded"
            pdfmetrics.registerFont(TTFont(regular, font, subfontIndex=0))
    common = dict(fontName=regular, alignment=TA_LEFT)
    if zh:
        common["wordWrap"] = "CJK"
    elif meta["hyphenate"]:
        common["hyphenationLang"] = "en_GB"
    text = ParagraphStyle("text", fontSize=10, leading=14, spaceAfter=6, **common)
    item = ParagraphStyle("item", parent=text, leftIndent=14, bulletIndent=2, spaceAfter=3)
    small = ParagraphStyle("small", parent=text, fontSize=9, leading=12, spaceAfter=0, hyphenationLang="")
    head = {}
    for level, size in ((0, 20), (1, 15), (2, 12.5), (3, 11)):
        head[level] = ParagraphStyle(
            f"head{level}", parent=text, fontName=bold, fontSize=size, leading=size * 1.3,
            spaceBefore=10, spaceAfter=5, keepWithNext=1, hyphenationLang="")

    def escape(value):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    flow = [Paragraph(escape(meta["title"]), head[0]), Spacer(1, 4 * mm)]
    width = A4[0] - 44 * mm
    for kind, value in blocks(body, meta["lang"]):
        if kind[0] == "h":
            flow.append(Paragraph(escape(value), head[int(kind[1])]))
        elif kind == "p":
            flow.append(Paragraph(escape(value), text))
        elif kind == "li":
            flow.append(Paragraph(escape(value), item, bulletText="•"))
        elif kind == "ol":
            flow.append(Paragraph(escape(value[1]), item, bulletText=value[0]))
        elif kind == "break":
            flow.append(PageBreak())
        else:
            grid = [[Paragraph(escape(c), small) for c in row] for row in value]
            table = Table(grid, colWidths=[width / len(value[0])] * len(value[0]), repeatRows=1)
            table.setStyle(TableStyle([
                ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
                ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
                ("VALIGN", (0, 0), (-1, -1), "TOP")]))
            flow += [table, Spacer(1, 3 * mm)]

    class Pages(Canvas):
        """Draws header and footer when the number of pages is known."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.states = []

        def showPage(self):
            self.states.append(dict(self.__dict__))
            self._startPage()

        def save(self):
            for n, state in enumerate(self.states, 1):
                self.__dict__.update(state)
                self.setFont(regular, 8)
                self.drawString(22 * mm, A4[1] - 13 * mm, meta.get("header", meta["title"]))
                self.line(22 * mm, A4[1] - 15 * mm, A4[0] - 22 * mm, A4[1] - 15 * mm)
                total = len(self.states)
                page = f"第 {n} 页 共 {total} 页" if zh else f"Page {n} of {total}"
                self.drawString(22 * mm, 11 * mm, meta.get("footer", meta["author"]))
                self.drawRightString(A4[0] - 22 * mm, 11 * mm, page)
                super().showPage()
            super().save()

    doc = SimpleDocTemplate(
        str(out), pagesize=A4, leftMargin=22 * mm, rightMargin=22 * mm, topMargin=22 * mm,
        bottomMargin=20 * mm, title=meta["title"], author=meta["author"], invariant=1)
    doc.build(flow, canvasmaker=Pages)


MAKERS = {".pdf": make_pdf, ".docx": make_docx, ".pptx": make_pptx, ".xlsx": make_xlsx}


def main(names):
    for path in sorted((ROOT / "sources").rglob("*.md")):
        meta, body = load(path)
        if names and not any(n in meta["output"] for n in names):
            continue
        out = ROOT / meta["output"]
        out.parent.mkdir(parents=True, exist_ok=True)
        MAKERS[out.suffix](meta, body, out)
        print(meta["output"])


if __name__ == "__main__":
    main(sys.argv[1:])
