"""The tables as PostgreSQL has them (0001_initial.sql), and as Django knows them."""

from pathlib import Path

import django.contrib.postgres.fields
from django.db import migrations, models

SQL = Path(__file__).with_suffix(".sql").read_text()


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(SQL)],
            state_operations=[
                migrations.CreateModel(
                    name="BookDelta",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("hour", models.DateTimeField()),
                        ("brand", models.BigIntegerField()),
                        ("source", models.BigIntegerField()),
                        ("mapping", models.BigIntegerField()),
                        ("rule_set", models.BigIntegerField(null=True)),
                        ("n", models.IntegerField()),
                        ("line", models.SmallIntegerField()),
                        ("verdicts", models.BinaryField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="BookHour",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "brand",
                                "hour",
                                "source",
                                "mapping",
                                "line",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("hour", models.DateTimeField()),
                        ("brand", models.BigIntegerField()),
                        ("source", models.BigIntegerField()),
                        ("mapping", models.BigIntegerField()),
                        ("n", models.BigIntegerField()),
                        ("line", models.SmallIntegerField()),
                    ],
                ),
                migrations.CreateModel(
                    name="CustomerState",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "mapping", "customer", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("mapping", models.BigIntegerField()),
                        ("customer", models.BigIntegerField()),
                        ("newest", models.DateTimeField(null=True)),
                        ("sent", models.DateTimeField(null=True)),
                        ("hashes", models.JSONField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="Decision",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("rule_set", models.BigIntegerField(null=True)),
                        ("verdicts", models.BinaryField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Delivery",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("event", models.BigIntegerField()),
                        ("mapping", models.BigIntegerField()),
                        ("version", models.BigIntegerField()),
                        ("lane", models.BigIntegerField()),
                        ("brand", models.BigIntegerField()),
                        ("replay", models.BigIntegerField()),
                        ("run", models.BigIntegerField()),
                        ("exchange", models.BigIntegerField(null=True)),
                        ("ms", models.FloatField(null=True)),
                        ("step", models.SmallIntegerField()),
                        ("attempt", models.SmallIntegerField()),
                        ("cause", models.SmallIntegerField(choices=[(1, "first"), (2, "retry")])),
                        (
                            "status",
                            models.SmallIntegerField(
                                choices=[
                                    (1, "delivered"),
                                    (2, "again"),
                                    (3, "failed"),
                                    (4, "quarantined"),
                                    (5, "cancelled"),
                                    (6, "expired"),
                                ]
                            ),
                        ),
                        ("code", models.SmallIntegerField(null=True)),
                        ("exchanges", models.SmallIntegerField()),
                        ("part", models.SmallIntegerField(null=True)),
                        ("fault", models.TextField()),
                        ("error", models.TextField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("brand", models.BigIntegerField()),
                        ("source", models.BigIntegerField()),
                        ("rule_set", models.BigIntegerField(null=True)),
                        ("start", models.IntegerField()),
                        ("size", models.IntegerField()),
                        ("anonymous", models.BooleanField()),
                        ("type", models.TextField()),
                        ("name", models.TextField()),
                        ("customer", models.TextField()),
                        ("message_id", models.TextField()),
                        ("verdicts", models.BinaryField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Exchange",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("lane", models.BigIntegerField()),
                        ("brand", models.BigIntegerField()),
                        ("ms", models.FloatField()),
                        ("status", models.SmallIntegerField(null=True)),
                        ("truncated", models.BooleanField()),
                        ("method", models.TextField()),
                        ("url", models.TextField()),
                        ("request_id", models.TextField()),
                        ("error", models.TextField()),
                        ("request_headers", models.JSONField()),
                        ("response_headers", models.JSONField()),
                        ("request_body", models.BinaryField()),
                        ("response_body", models.BinaryField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Label",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("brand", models.BigIntegerField()),
                        ("kind", models.TextField()),
                        ("label", models.TextField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Lane",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("brand", models.BigIntegerField()),
                        ("held", models.TextField()),
                        ("since", models.DateTimeField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("lane", models.BigIntegerField()),
                        ("rank", models.SmallIntegerField(choices=[(0, "first"), (1, "retry"), (2, "replay")])),
                        ("event", models.BigIntegerField()),
                        ("mapping", models.BigIntegerField()),
                        ("version", models.BigIntegerField()),
                        ("brand", models.BigIntegerField()),
                        ("customer", models.BigIntegerField()),
                        ("replay", models.BigIntegerField(default=0)),
                        ("run", models.BigIntegerField(default=0)),
                        ("step", models.SmallIntegerField(default=0)),
                        ("cause", models.SmallIntegerField()),
                        ("attempts", models.SmallIntegerField(default=0)),
                        ("claims", models.SmallIntegerField(default=0)),
                        ("token", models.BigIntegerField(null=True)),
                        ("lease", models.DateTimeField(null=True)),
                        ("memo", models.JSONField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="Request",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("brand", models.BigIntegerField()),
                        ("source", models.BigIntegerField()),
                        ("ms", models.FloatField()),
                        ("status", models.SmallIntegerField()),
                        ("accepted", models.SmallIntegerField()),
                        ("duplicates", models.SmallIntegerField()),
                        ("refused", models.SmallIntegerField()),
                        ("kind", models.TextField()),
                        ("code", models.TextField()),
                        ("message", models.TextField()),
                        ("refusals", models.JSONField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="RequestBody",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("size", models.IntegerField()),
                        ("headers", models.JSONField()),
                        ("envelope", models.JSONField(null=True)),
                        ("body", models.BinaryField()),
                    ],
                ),
                migrations.CreateModel(
                    name="RuleSet",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("source", models.BigIntegerField()),
                        (
                            "mappings",
                            django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                        ),
                        (
                            "versions",
                            django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="Seen",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("source", models.BigIntegerField()),
                        ("hash", models.BinaryField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Waiting",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("due", models.DateTimeField()),
                        ("lane", models.BigIntegerField()),
                        ("rank", models.SmallIntegerField()),
                        ("event", models.BigIntegerField()),
                        ("mapping", models.BigIntegerField()),
                        ("version", models.BigIntegerField()),
                        ("brand", models.BigIntegerField()),
                        ("customer", models.BigIntegerField()),
                        ("replay", models.BigIntegerField()),
                        ("run", models.BigIntegerField()),
                        ("step", models.SmallIntegerField()),
                        ("cause", models.SmallIntegerField()),
                        ("attempts", models.SmallIntegerField()),
                        ("memo", models.JSONField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="Inbound",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("brand", models.BigIntegerField()),
                        ("source", models.BigIntegerField()),
                        ("type", models.TextField()),
                        ("name", models.TextField()),
                        ("customer", models.TextField()),
                        ("anonymous", models.BooleanField()),
                        ("identifier", models.TextField()),
                        ("kept", models.BooleanField()),
                        ("status", models.SmallIntegerField()),
                        ("error", models.TextField()),
                    ],
                    options={"managed": False},
                ),
            ],
        ),
    ]
