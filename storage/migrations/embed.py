#!/usr/bin/env python3
"""Puts the numbered SQL files into the binary: embed.py OUT.c 0001_first.sql ..."""
import os
import re
import sys


def main():
    out, files = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
    text = ['/* Made from storage/migrations by embed.py. */',
            '#include "storage/db_internal.h"', '']
    rows = []
    for expected, path in enumerate(files, 1):
        name = os.path.basename(path)
        match = re.fullmatch(r'(\d{4})_([a-z0-9_]+)\.sql', name)
        if match is None or int(match.group(1)) != expected:
            sys.exit(f'{path}: expected number {expected:04d} (one file a step, none left out)')
        with open(path, 'rb') as file:
            sql = file.read() + b'\0'
        text.append(f'static const char sql_{expected}[] = {{')
        for at in range(0, len(sql), 20):
            text.append('\t' + ' '.join(f'{byte},' for byte in sql[at:at + 20]))
        text.append('};')
        rows.append(f'\t{{ {expected}, "{match.group(2)}", sql_{expected} }},')
    text += ['', 'const struct pc_migration pc_migrations[] = {', *rows, '\t{ 0 },', '};', '']
    with open(out, 'w', encoding='ascii') as file:
        file.write('\n'.join(text))


main()
