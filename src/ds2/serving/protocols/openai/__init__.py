"""OpenAI's protocol: recordings, and live streams in realtime/."""
