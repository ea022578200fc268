"""From audio to transcripts: whole recordings, live streams, alignment with a known text."""
