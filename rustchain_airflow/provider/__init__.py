"""What Airflow finds by itself: provider information, the missions bundle, the loader."""
