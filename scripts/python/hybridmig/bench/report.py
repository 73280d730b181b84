"""The report: one HTML file without outside links, and PNG files beside it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import base64
import html
import os

from . import (cross, links, metrics, overview, pictures, sampling, stats,
               tables, workloads)
from .metrics import METRICS

STYLE = '''
body { font: 14px/1.4 sans-serif; margin: 2em; max-width: 100em; }
table { border-collapse: collapse; margin: 0.6em 0; }
th, td { border: 1px solid #ccc; padding: 0.15em 0.5em; text-align: right;
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { background: #f0f0f0; } td:first-child, th:first-child { text-align: left; }
tr.wrong td { background: #ff9d9d; font-weight: bold; }
tr.failed td { background: #ffd9a8; } tr.other td { color: #777; }
.bad { color: #b00000; font-weight: bold; } pre { white-space: pre-wrap; }
img { max-width: 100%; }
'''
CLASSES = {metrics.WRONG: 'wrong', metrics.FAILED: 'failed',
           metrics.UNAVAILABLE: 'other'}


def group_title(group):
    workload, link = group
    known = workloads.BY_NAME.get(workload)
    shape = links.BY_NAME.get(link)
    return (f'{known.title if known else workload}; link '
            f'{shape.text() if shape else link}')


def file_name(group):
    return f'{group[0]}_{group[1]}.png'


def draw_all(found, folder):
    """{group, or name of a link: path of its picture}."""
    os.makedirs(folder, exist_ok=True)
    drawn = {}
    for link in overview.links_of(found):
        drawn[link] = overview.picture(
            found, link, os.path.join(folder, f'overview_{link}.png'))
    for key, group in found.items():
        path = pictures.group_picture(group, group_title(key),
                                      os.path.join(folder, file_name(key)))
        if path:
            drawn[key] = path
    return drawn


def _table(table):
    parts = ['<table><tr>']
    parts += [f'<th>{html.escape(text)}</th>' for text in table.head]
    parts.append('</tr>')
    for row, status in zip(table.rows, table.statuses):
        parts.append(f'<tr class="{CLASSES.get(status, "")}">')
        parts += [f'<td>{html.escape(text)}</td>' for text in row]
        parts.append('</tr>')
    return ''.join(parts) + '</table>'


def _picture(path, title):
    with open(path, 'rb') as file:
        data = base64.b64encode(file.read()).decode()
    return (f'<img alt="{html.escape(title)}" '
            f'src="data:image/png;base64,{data}">')


def _list(lines, kind=''):
    return f'<ul class="{kind}">' + ''.join(
        f'<li>{html.escape(line)}</li>' for line in lines) + '</ul>'


def warnings(results):
    """What a reader must see first."""
    lines = []
    for cell in results.cells:
        if cell['status'] in (metrics.WRONG, metrics.FAILED):
            lines.append(f'{cell["key"]}: {cell["status"]}: {cell["reason"]}')
    lines += [f'{key}: recorded twice, the first record counts'
              for key in results.duplicates]
    if results.torn is not None:
        lines.append('the last line of the results is torn and left out')
    lines += [f'{entry["fault"]}; '
              f'{"run anyway" if entry["used"] else "left out"}'
              for entry in results.links.values() if 'fault' in entry]
    busy = sum(cell['raw'].get('others', 0) > cross.OTHERS_SHARE
               for cell in results.cells)
    if busy:
        lines.append(f'{busy} of {len(results.cells)} cells were measured '
                     'while others used more than '
                     f'{cross.OTHERS_SHARE:.0%} of the CPU time: their times '
                     'are those of a busy machine')
    uneven = sum(cross.uneven(cell['raw']) for cell in results.cells)
    if uneven:
        lines.append(f'in {uneven} of {len(results.cells)} cells the host '
                     'computed at another speed after the migration than '
                     'before: net work lost has that in it')
    return lines


def machine_lines(results):
    """What it was made on and with."""
    header = results.header
    host, settings = header['host'], header['settings']
    lines = [f'{host["cpu"]}, {host["cpus"]} CPUs, {host["memory_gib"]} GiB, '
             f'{host["system"]}, kernel {host["kernel"]}',
             f'guests: accelerator {settings["accel"]}, machine '
             f'{settings["machine"]}, scale {settings["scale"]:g}',
             f'begun {header["began"]}, project {header["project"]}']
    lines += [f'{name}: {", ".join(f"{k} {v}" for k, v in entry.items())}'
              for name, entry in header['versions'].items()]
    lines += [f'link {name}: {entry["shape"]}; checked: '
              f'{entry["mbit_s"]:.0f} Mbit/s, round trip '
              f'{entry["round_trip_ms"]:.2f} ms'
              for name, entry in results.links.items()
              if 'fault' not in entry]
    lines += [f'link {name}: to send, receive and place a page '
              f'({entry["run"]} to a system call, one UFFDIO_COPY for each '
              f'{entry["run"]}) takes {entry["page_cpu_us"]:.2f} us of CPU '
              f'time ({entry["least"]:.2f} to {entry["most"]:.2f}), of it '
              f'{entry["dst_us"]:.2f} at the destination, in a program that '
              'does nothing else'
              for name, entry in results.floors.items()]
    lines += [sampling.text(entry) for entry in results.sampling.values()]
    return lines


def body(results, found, drawn):
    summed = ', '.join(f'{number} {status}'
                       for status, number in tables.counts(results))
    parts = ['<h1>Live migration, every technique side by side</h1>',
             f'<p>{len(results.cells)} cells: {html.escape(summed)}. '
             f'{html.escape(tables.audits(results))}.</p>']
    bad = warnings(results)
    if bad:
        parts += ['<p class="bad">Not as it should be:</p>',
                  _list(bad, 'bad')]
    parts += ['<h2>Made on</h2>', _list(machine_lines(results))]
    for link in overview.links_of(found):
        title = f'All techniques and workloads, link {link}'
        parts += [f'<h2>{html.escape(title)}</h2>',
                  _picture(drawn[link], title)]
    for key, group in found.items():
        title = group_title(key)
        parts.append(f'<h2>{html.escape(title)}</h2>')
        if key in drawn:
            parts.append(_picture(drawn[key], title))
        parts += ['<p>Seen from outside, median (least to most):</p>',
                  _table(tables.outside(group)),
                  '<p>As QEMU reports:</p>', _table(tables.inside(group))]
        lines = tables.remarks(group)
        if lines:
            parts += ['<details><summary>Remarks '
                      f'({len(lines)})</summary>', _list(lines), '</details>']
    parts += ['<h2>What the figures mean</h2>',
              _list(f'{metric.title}: {metric.meaning}'
                    for metric in METRICS)]
    return ''.join(parts)


def write(results, out):
    """Write report.html and pictures below @out; returns the file's name."""
    found = stats.groups(results.cells)
    drawn = draw_all(found, os.path.join(out, 'pictures'))
    name = os.path.join(out, 'report.html')
    with open(name, 'w', encoding='utf-8') as file:
        file.write('<!DOCTYPE html><html lang="en"><head>'
                   '<meta charset="utf-8"><title>Live migration bench'
                   f'</title><style>{STYLE}</style></head><body>'
                   f'{body(results, found, drawn)}</body></html>\n')
    return name
