"""Pictures in and out: files to frames with their own times, and frames to files."""

from posecli.media.frames import Frame, Frames, MediaInfo, Report
from posecli.media.read import open_media
from posecli.media.write import VideoWriter

__all__ = ["Frame", "Frames", "MediaInfo", "Report", "VideoWriter", "open_media"]
