"""The logs are called what people call them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0003_heartbeat"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="delivery",
            options={"verbose_name_plural": "outbound log"},
        ),
        migrations.AlterModelOptions(
            name="inbound",
            options={"managed": False, "verbose_name": "inbound event", "verbose_name_plural": "inbound log"},
        ),
    ]
