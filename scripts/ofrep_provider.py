#!/usr/bin/env python3
"""OpenFeature's own provider understands what we answer.

Asks a gnomon that runs for flags through PyPI `openfeature-sdk` and `openfeature-provider-ofrep`, as an application
would, and compares values, reasons, variants and error codes with what is expected. Loopback only; takes a second.

  python3 -m venv VENV && VENV/bin/pip install -r scripts/ofrep_provider.txt
  VENV/bin/python scripts/ofrep_provider.py http://127.0.0.1:8016 CASES.json [--token TOKEN]

CASES.json is a list of {"flag", "kind", "default", "key", "attributes", "value", "reason", "variant", "error"}; what is
null or missing of the last four is to be nothing, but a variant of nothing may be an empty text. Without the
packages it says so and ends with 0: there was nothing to compare.
"""
import argparse
import json
import sys

try:
    from openfeature import api
    from openfeature.contrib.provider.ofrep import OFREPProvider
    from openfeature.evaluation_context import EvaluationContext
except ImportError as error:
    print(f'skipped: {error}; see scripts/ofrep_provider.txt')
    sys.exit(0)


def got(client, case):
    """What an application gets, as the case tells it."""
    context = EvaluationContext(case.get('key'), case.get('attributes') or {})
    ask = getattr(client, f'get_{case["kind"]}_details')
    details = ask(case['flag'], case['default'], context)
    return {
        'value': details.value,
        'reason': str(details.reason) if details.reason else None,
        'variant': details.variant or None,
        'error': str(details.error_code.value) if details.error_code else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('base')
    parser.add_argument('cases')
    parser.add_argument('--token')
    arguments = parser.parse_args()
    with open(arguments.cases, encoding='utf-8') as file:
        cases = json.load(file)
    fields = {'Authorization': f'Bearer {arguments.token}'} if arguments.token else {}
    api.set_provider(OFREPProvider(arguments.base, headers_factory=lambda: fields, timeout=30.0))
    client = api.get_client()
    failed = 0
    for case in cases:
        expected = {part: case.get(part) for part in ('value', 'reason', 'variant', 'error')}
        told = got(client, case)
        # Of numbers, 2 and 2.0 are equal and yet another kind.
        if told != expected or type(told['value']) is not type(expected['value']):
            failed += 1
            print(f'{case["flag"]} for {case.get("key")}: {told}, not {expected}')
    print(f'{len(cases) - failed} passed, {failed} failed')
    sys.exit(1 if failed or not cases else 0)


main()
