"""The text format of the metrics page (Prometheus exposition format 0.0.4), read strictly."""

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_HELP = re.compile(rf"# HELP ({_NAME}) (\S.*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|NaN)")


@dataclass
class Metrics:
    types: dict = field(default_factory=dict)
    helps: dict = field(default_factory=dict)
    # (name, labels as written) to value
    samples: dict = field(default_factory=dict)

    @classmethod
    def parse(cls, text):
        """Fails on any line that is none of HELP, TYPE and sample, on doubles, and on a sample before its TYPE."""
        metrics = cls()
        assert text.endswith("\n"), "the last line must end too"
        for line in text.splitlines():
            if match := _HELP.fullmatch(line):
                assert match[1] not in metrics.helps, f"a second {line!r}"
                metrics.helps[match[1]] = match[2]
            elif match := _TYPE.fullmatch(line):
                assert match[1] not in metrics.types, f"a second {line!r}"
                metrics.types[match[1]] = match[2]
            else:
                match = _SAMPLE.fullmatch(line)
                assert match, f"not a line of the format: {line!r}"
                key = (match[1], match[2] or "")
                assert key not in metrics.samples, f"a second {line!r}"
                family = metrics.family(match[1])
                assert family in metrics.types, f"no TYPE before {line!r}"
                metrics.samples[key] = float(match[3])
        return metrics

    def family(self, name):
        """The metric that a sample belongs to: itself, or the histogram whose part it is."""
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        return base if self.types.get(base) == "histogram" else name

    def __getitem__(self, name):
        """The value of a metric without labels, by its name without the prefix `corecast_`."""
        return self.samples[(f"corecast_{name}", "")]

    def labelled(self, name, label, value):
        return self.samples[(f"corecast_{name}", f'{label}="{value}"')]

    def sum(self, name):
        """Over all labels."""
        return sum(value for (key, _), value in self.samples.items() if key == f"corecast_{name}")
