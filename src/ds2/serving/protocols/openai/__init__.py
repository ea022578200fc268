"""OpenAI's protocol: recordings here, live streams in realtime/."""
