"""Holds, turns, quotas and buckets (0002_holds.sql)."""

from pathlib import Path

import django.db.models.functions.datetime
from django.db import migrations, models

SQL = Path(__file__).with_suffix(".sql").read_text()


def key(*fields):
    return ("pk", models.CompositePrimaryKey(*fields, blank=True, editable=False, primary_key=True, serialize=False))


class Migration(migrations.Migration):
    dependencies = [("logs", "0001_initial")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(SQL)],
            state_operations=[
                migrations.CreateModel(
                    name="Hold",
                    fields=[
                        key("lane", "kind"),
                        ("lane", models.BigIntegerField()),
                        ("brand", models.BigIntegerField()),
                        ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                        ("until", models.DateTimeField(null=True)),
                        ("kind", models.SmallIntegerField()),
                        ("level", models.SmallIntegerField(default=0)),
                        ("ramp", models.SmallIntegerField(default=1)),
                        ("reason", models.TextField()),
                        ("who", models.TextField(default="")),
                    ],
                ),
                migrations.CreateModel(
                    name="Quota",
                    fields=[
                        key("mapping", "period"),
                        ("mapping", models.BigIntegerField()),
                        ("period", models.DateTimeField()),
                        ("n", models.IntegerField()),
                    ],
                ),
                migrations.CreateModel(
                    name="Turn",
                    fields=[
                        key("mapping", "customer", "event"),
                        ("mapping", models.BigIntegerField()),
                        ("customer", models.BigIntegerField()),
                        ("event", models.BigIntegerField()),
                    ],
                ),
                migrations.DeleteModel(name="Lane"),
                migrations.AddField("customerstate", "busy", models.DateTimeField(null=True)),
                migrations.AddField("customerstate", "token", models.BigIntegerField(null=True)),
                migrations.AddField("waiting", "hold", models.SmallIntegerField(default=0)),
                migrations.AlterField("delivery", "cause", models.SmallIntegerField()),
                migrations.AlterField("delivery", "status", models.SmallIntegerField()),
                migrations.AlterField("queue", "rank", models.SmallIntegerField()),
            ],
        )
    ]
