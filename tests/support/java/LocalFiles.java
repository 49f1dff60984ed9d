import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * The node's local files, whose permissions are set by a call of the system.
 *
 * <p>A production Hadoop has its native library for that. Without it, it starts chmod for each of thousands of files.
 */
public final class LocalFiles extends DelegateToFileSystem {
  public LocalFiles(URI uri, Configuration configuration) throws IOException, URISyntaxException {
    super(uri, new Raw(), configuration, uri.getScheme(), false);
  }

  private static final class Raw extends RawLocalFileSystem {
    @Override
    public void setPermission(Path path, FsPermission permission) throws IOException {
      Files.setPosixFilePermissions(
          pathToFile(path).toPath(), PosixFilePermissions.fromString(permission.toString()));
    }
  }
}
