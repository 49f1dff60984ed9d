import java.io.BufferedReader;
import java.io.InputStreamReader;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.yarn.api.records.LocalResource;
import org.apache.hadoop.yarn.api.records.LocalResourceType;
import org.apache.hadoop.yarn.api.records.LocalResourceVisibility;
import org.apache.hadoop.yarn.api.records.URL;
import org.apache.hadoop.yarn.util.FSDownload;

/** Unpacks archives as a NodeManager does. */
final class Localize {
  /** Reads lines of visibility, archive and a new directory, with tabs between; answers each with one line. */
  public static void main(String[] arguments) throws Exception {
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    for (String request = requests.readLine(); request != null; request = requests.readLine()) {
      String[] fields = request.split("\t");
      try {
        System.out.println(localized(fields[0], new Path(fields[1]), new Path(fields[2])).toUri().getPath());
      } catch (Exception failure) {
        System.out.println("failed: " + failure.toString().replace('\n', ' '));
      }
    }
  }

  private static Path localized(String visibility, Path archive, Path directory) throws Exception {
    Configuration configuration = new Configuration();
    FileContext files = FileContext.getLocalFSFileContext(configuration);
    FileStatus status = files.getFileStatus(archive);
    LocalResource resource =
        LocalResource.newInstance(
            URL.fromPath(status.getPath()),
            LocalResourceType.ARCHIVE,
            LocalResourceVisibility.valueOf(visibility),
            status.getLen(),
            status.getModificationTime());
    return new FSDownload(files, null, configuration, directory, resource).call();
  }
}
