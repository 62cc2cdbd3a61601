"""Signs of life, and the indexes by which operators watch without scanning."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0002_holds")]
    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind", "process", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField(choices=[("worker", "Worker"), ("beat", "Beat")])),
                ("process", models.TextField()),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(
            """
            ALTER TABLE logs_heartbeat SET (fillfactor = 50);
            CREATE INDEX logs_waiting_lane ON logs_waiting (lane, id);
            CREATE INDEX logs_bookhour_hour ON logs_bookhour (hour);
            """,
            "DROP INDEX logs_waiting_lane, logs_bookhour_hour",
        ),
    ]
